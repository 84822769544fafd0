import Platform

/// Count, mean and spread of numbers that arrive one by one (Welford 1962): no large sums to cancel, and the order is the order of arrival.
public struct Moments: Sendable, Equatable {
  /// n.
  public private(set) var count = 0
  /// 0 for no numbers.
  public private(set) var mean = 0.0
  /// Σ (x − mean)².
  public private(set) var squares = 0.0

  /// Of no numbers yet.
  public init() {}

  /// What was counted before.
  init(count: Int, mean: Double, squares: Double) {
    (self.count, self.mean, self.squares) = (count, mean, squares)
  }

  /// Of numbers in their order.
  public init(_ values: some Sequence<Double>) {
    for value in values { add(value) }
  }

  /// Takes one more number.
  public mutating func add(_ x: Double) {
    count += 1
    let before = x - mean
    mean += before / Double(count)
    squares += before * (x - mean)
  }

  /// s/√n, with s² = Σ (x − mean)² / (n − 1); not a number for fewer than two values.
  public var standardError: Double {
    count > 1 ? (squares / (Double(count) * Double(count - 1))).squareRoot() : .nan
  }

  /// Half the width of the 95% confidence interval of the mean: Student's t times the standard error.
  public var confidence95: Double { Self.student975(count - 1) * standardError }

  /// The 97.5% point of Student's distribution: exact for 1 and 2 degrees of freedom, beyond that by Cornish and Fisher's expansion about
  /// the normal's 1.95996 (Abramowitz & Stegun 26.7.5), off by 0.5% at 3 degrees and by less than 0.02% from 6 on.
  static func student975(_ degrees: Int) -> Double {
    switch degrees {
    case ..<1: return .nan
    case 1: return tan(0.475 * Double.pi)
    case 2: return 0.95 * (2 / (1 - 0.95 * 0.95)).squareRoot()
    default:
      let ν = Double(degrees), z = 1.959_963_984_540_054
      let z² = z * z
      let first = z * (z² + 1) / 4
      let second = z * ((5 * z² + 16) * z² + 3) / 96
      let third = z * (((3 * z² + 19) * z² + 17) * z² - 15) / 384
      let fourth = z * ((((79 * z² + 776) * z² + 1482) * z² - 1920) * z² - 945) / 92160
      return z + (first + (second + (third + fourth / ν) / ν) / ν) / ν
    }
  }
}
