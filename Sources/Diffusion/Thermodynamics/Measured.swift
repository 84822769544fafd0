/// A mean and its standard error.
public struct Measured: Sendable, Equatable {
  /// The mean.
  public let value: Double
  /// 0 for what is known exactly.
  public let error: Double

  /// - Parameter error: one standard error; 0 for what is known exactly.
  public init(_ value: Double, error: Double = 0) {
    self.value = value
    self.error = error
  }

  /// The mean of independent draws, with s/√n as its error; the error of a single draw is not a number.
  public init(mean values: [Double]) {
    precondition(!values.isEmpty, "the mean of no values")
    let n = Double(values.count)
    let mean = values.reduce(0, +) / n
    let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    self.init(mean, error: values.count > 1 ? (squares / (n * (n - 1))).squareRoot() : .nan)
  }

  static func * (c: Double, x: Measured) -> Measured { Measured(c * x.value, error: abs(c) * x.error) }
  static func + (x: Measured, c: Double) -> Measured { Measured(x.value + c, error: x.error) }
}
