/// A text that is not JSON, or is JSON with an ambiguous meaning.
public struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
  /// Where the problem starts, in bytes from the start of the text.
  public let offset: Int
  /// What was found and what was expected.
  public let problem: String

  /// - Parameter offset: in bytes of UTF-8.
  public init(offset: Int, problem: String) {
    self.offset = offset
    self.problem = problem
  }

  public var description: String { "invalid JSON at byte \(offset): \(problem)".onOneLine }
}

extension JSONValue {
  /// Reads one JSON document (RFC 8259, plus Python's `NaN` and `Infinity`).
  ///
  /// - Throws: ``JSONError`` for anything else, including two equal keys in one object, trailing text, more than 128
  ///   levels of nesting, more than 2²¹ values and invalid UTF-8.
  public init(parsing bytes: [UInt8]) throws(JSONError) {
    var parser = JSONParser(bytes: bytes)
    self = try parser.document()
  }

  /// Reads one JSON document from text, with the same rules.
  public init(parsing text: String) throws(JSONError) { try self.init(parsing: Array(text.utf8)) }
}

/// A recursive-descent reader over bytes; one function for each production of the grammar.
private struct JSONParser {
  let bytes: [UInt8]
  var position = 0

  /// Each level takes a stack frame, and each value, two bytes in the text, some 30 in memory: a hostile file must not choose
  /// how many.
  static let deepest = 128, mostValues = 1 << 21
  private var values = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  mutating func document() throws(JSONError) -> JSONValue {
    let value = try value(depth: 0)
    skipSpace()
    guard position == bytes.count else { throw problem("text after the end of the document") }
    return value
  }

  private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
    guard depth < Self.deepest else { throw problem("nested deeper than \(Self.deepest) levels") }
    values += 1
    guard values <= Self.mostValues else { throw problem("more than \(Self.mostValues) values") }
    skipSpace()
    guard let byte = peek else { throw problem("the text ends where a value should be") }
    switch byte {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "N"): return try word("NaN", .number(.nan))
    case UInt8(ascii: "I"): return try word("Infinity", .number(.infinity))
    case UInt8(ascii: "-") where position + 1 < bytes.count && bytes[position + 1] == UInt8(ascii: "I"):
      return try word("-Infinity", .number(-.infinity))
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: throw problem("expected a value")
    }
  }

  private mutating func object(depth: Int) throws(JSONError) -> JSONValue {
    var members: [String: JSONValue] = [:]
    position += 1
    skipSpace()
    if take("}") { return .object(members) }
    while true {
      skipSpace()
      let start = position
      guard peek == UInt8(ascii: "\"") else { throw problem("expected a key in double quotes") }
      let key = try string()
      skipSpace()
      guard take(":") else { throw problem("expected ':' after the key \(quoted(key))") }
      let value = try value(depth: depth + 1)
      guard members.updateValue(value, forKey: key) == nil else {
        throw JSONError(offset: start, problem: "the key \(quoted(key)) occurs twice")
      }
      skipSpace()
      if take("}") { return .object(members) }
      guard take(",") else { throw problem("expected ',' or '}' in an object") }
    }
  }

  private mutating func array(depth: Int) throws(JSONError) -> JSONValue {
    var elements: [JSONValue] = []
    position += 1
    skipSpace()
    if take("]") { return .array(elements) }
    while true {
      elements.append(try value(depth: depth + 1))
      skipSpace()
      if take("]") { return .array(elements) }
      guard take(",") else { throw problem("expected ',' or ']' in an array") }
    }
  }

  /// number = [ "-" ] int [ "." digits ] [ ("e" | "E") [ "+" | "-" ] digits ], int without leading zeros.
  private mutating func number() throws(JSONError) -> JSONValue {
    let start = position
    var isInteger = true
    _ = take("-")
    if !take("0") { try digits() }
    if take(".") {
      isInteger = false
      try digits()
    }
    if take("e") || take("E") {
      isInteger = false
      if !take("-") { _ = take("+") }
      try digits()
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isInteger, let value = Int(text) { return .integer(value) }
    guard let value = Double(text), value.isFinite else {
      throw JSONError(offset: start, problem: "the number \(text.prefix(40)) does not fit in 64 bits")
    }
    return .number(value)
  }

  private mutating func digits() throws(JSONError) {
    let start = position
    while let byte = peek, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
    if position == start { throw problem("expected a digit") }
  }

  private mutating func string() throws(JSONError) -> String {
    let start = position
    position += 1
    var utf8: [UInt8] = []
    while let byte = peek {
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: utf8, as: UTF8.self) else {
          throw JSONError(offset: start, problem: "a string that is not UTF-8")
        }
        return text
      case UInt8(ascii: "\\"): utf8 += String(try escape()).utf8
      case 0..<0x20: throw JSONError(offset: position - 1, problem: "an unescaped control character in a string")
      default: utf8.append(byte)
      }
    }
    throw JSONError(offset: start, problem: "a string without its closing quote")
  }

  private mutating func escape() throws(JSONError) -> Unicode.Scalar {
    guard let byte = peek else { throw problem("the text ends within an escape") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{c}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      let high = try fourHexDigits()
      if let scalar = Unicode.Scalar(high) { return scalar }
      // A character beyond 0xFFFF comes as a surrogate pair: D800…DBFF, then DC00…DFFF.
      if high < 0xDC00, take("\\"), take("u") {
        let low = try fourHexDigits()
        if (0xDC00...0xDFFF).contains(low),
          let scalar = Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00))
        {
          return scalar
        }
      }
      throw problem("half of a surrogate pair")
    default: throw JSONError(offset: position - 1, problem: "an escape that JSON does not have")
    }
  }

  private mutating func fourHexDigits() throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
        throw problem("expected four hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }

  private mutating func word(_ text: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
    guard bytes[position...].starts(with: text.utf8) else { throw problem("expected '\(text)'") }
    position += text.utf8.count
    return value
  }

  private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard peek == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func skipSpace() {
    while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  private func problem(_ text: String) -> JSONError { JSONError(offset: position, problem: text) }
}
