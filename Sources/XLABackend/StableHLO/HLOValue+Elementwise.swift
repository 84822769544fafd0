/// Arithmetic as the formulas have it. Both operands are of one type; numbers take the other operand's.
extension HLOValue {
  static func + (a: HLOValue, b: HLOValue) -> HLOValue { a.apply("add", b) }
  static func - (a: HLOValue, b: HLOValue) -> HLOValue { a.apply("subtract", b) }
  static func * (a: HLOValue, b: HLOValue) -> HLOValue { a.apply("multiply", b) }
  static func / (a: HLOValue, b: HLOValue) -> HLOValue { a.apply("divide", b) }
  static func + (a: HLOValue, b: Double) -> HLOValue { a + a.filled(b) }
  static func + (a: Double, b: HLOValue) -> HLOValue { b.filled(a) + b }
  static func - (a: HLOValue, b: Double) -> HLOValue { a - a.filled(b) }
  static func - (a: Double, b: HLOValue) -> HLOValue { b.filled(a) - b }
  static func * (a: HLOValue, b: Double) -> HLOValue { a * a.filled(b) }
  static func * (a: Double, b: HLOValue) -> HLOValue { b * b.filled(a) }
  static func / (a: Double, b: HLOValue) -> HLOValue { b.filled(a) / b }
  static prefix func - (a: HLOValue) -> HLOValue { a.apply("negate") }
  static func ^ (a: HLOValue, b: HLOValue) -> HLOValue { a.apply("xor", b) }
  static func & (a: HLOValue, b: HLOValue) -> HLOValue { a.apply("and", b) }
  static func | (a: HLOValue, b: HLOValue) -> HLOValue { a.apply("or", b) }

  /// `value` in this one's type.
  func filled(_ value: Double) -> HLOValue { writer.splat(value, shape, element) }

  /// An operator of StableHLO whose operands and result are of one type.
  func apply(_ name: String, _ others: HLOValue...) -> HLOValue {
    let names = ([self] + others).map(\.name).joined(separator: ", ")
    precondition(others.allSatisfy { $0.type == type }, "\(name) of \(type.text) and \(others.map(\.type.text))")
    return writer.emit(type, "\(name) \(names) : \(type.text)")
  }

  func exp() -> HLOValue { apply("exponential") }
  func log() -> HLOValue { apply("log") }
  func log1p() -> HLOValue { apply("log_plus_one") }
  func squareRoot() -> HLOValue { apply("sqrt") }
  func absolute() -> HLOValue { apply("abs") }
  func sigmoid() -> HLOValue { apply("logistic") }

  enum Comparison: String {
    case equal = "EQ", notEqual = "NE", less = "LT", lessOrEqual = "LE", greater = "GT", greaterOrEqual = "GE"
  }

  func `is`(_ comparison: Comparison, _ other: HLOValue) -> HLOValue {
    let kind = element == .f32 || element == .bf16 ? "FLOAT" : element == .i32 ? "SIGNED" : "UNSIGNED"
    let result = HLOType(shape, .i1)
    let operands = "\(name), \(other.name), \(kind) : (\(type.text), \(other.type.text))"
    return writer.emit(result, "compare \(comparison.rawValue), \(operands) -> \(result.text)")
  }

  func `is`(_ comparison: Comparison, _ value: Double) -> HLOValue { self.is(comparison, filled(value)) }

  /// `a` where this condition holds, else `b`.
  func choose(_ a: HLOValue, _ b: HLOValue) -> HLOValue { writer.select(self, a, b) }

  func converted(to element: HLOType.Element) -> HLOValue {
    self.element == element ? self : become("convert", HLOType(shape, element))
  }

  /// The same bits as another type.
  func bits(as element: HLOType.Element) -> HLOValue { become("bitcast_convert", HLOType(shape, element)) }

  func become(_ operation: String, _ result: HLOType, _ attributes: String = "") -> HLOValue {
    writer.emit(result, "\(operation) \(name)\(attributes) : (\(type.text)) -> \(result.text)")
  }

  /// c₀ xⁿ + c₁ xⁿ⁻¹ + … + cₙ by Horner's rule.
  func polynomial(_ coefficients: [Double]) -> HLOValue {
    coefficients.dropFirst().reduce(filled(coefficients[0])) { $0 * self + $1 }
  }
}
