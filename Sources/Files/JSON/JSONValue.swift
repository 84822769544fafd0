/// A JSON document, kept exactly enough to be written back: integers stay integers and 1.0 stays 1.0.
///
/// We read it ourselves because a decoder keeps one of two equal keys silently, and in a weights file the
/// second could name other bytes. Python's `NaN`, `Infinity` and `-Infinity` are accepted: diffusers writes them
/// (`lambda_min_clipped` of its DPM-Solver scheduler).
public enum JSONValue: Hashable, Sendable {
  case null
  /// `true` or `false`.
  case bool(Bool)
  /// A number that is written without a point or exponent, and fits.
  case integer(Int)
  /// Any other number.
  case number(Double)
  /// A text, its escapes undone.
  case string(String)
  /// Values in order.
  case array([JSONValue])
  /// Values by key; no key comes twice.
  case object([String: JSONValue])
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(nilLiteral: ()) { self = .null }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(stringLiteral value: String) { self = .string(value) }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(Dictionary(elements, uniquingKeysWith: { _, last in last }))
  }
}

extension JSONValue {
  /// Whether it is `null`, said in the document; an absent key is another thing.
  public var isNull: Bool { self == .null }
  /// `true` or `false`; nil for another kind of value.
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  /// A number written without fraction and exponent that fits 64 bits; nil for another kind of value, also 1.0.
  public var integer: Int? { if case .integer(let value) = self { value } else { nil } }
  /// Text; nil for another kind of value.
  public var string: String? { if case .string(let value) = self { value } else { nil } }
  /// The elements; nil for another kind of value.
  public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
  /// The members by key; nil for another kind of value.
  public var object: [String: JSONValue]? { if case .object(let value) = self { value } else { nil } }

  /// The value of a number, written with or without a fraction.
  public var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// What kind of value this is, in JSON's words; for error messages.
  package var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .integer: "an integer"
    case .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}
