/// A text that is not YAML, or uses a part of YAML that is not read here.
public struct YAMLError: Error, Equatable, Sendable, CustomStringConvertible {
  /// Counted from 1.
  public let line: Int
  /// What was found and what was expected.
  public let problem: String

  public var description: String { "line \(line): \(problem)".onOneLine }
}

extension JSONValue {
  /// Reads a YAML document of the kinds that JSON has: mappings and lists, by indentation or in brackets on one line, text,
  /// numbers, true, false and null (YAML 1.2, core schema).
  ///
  /// Configurations need no more. Anchors and aliases, with which 400 bytes can stand for a billion values, are refused, and so
  /// are tags, several documents, and text or brackets over several lines.
  ///
  /// - Throws: ``YAMLError``; also for more than 1 MiB, more than 64 levels, and a key that occurs twice.
  public init(yaml text: String) throws(YAMLError) {
    var reader = try YAMLReader(Array(text.utf8))
    self = try reader.document()
  }
}

/// Reads line by line: what decides the structure is the column in which a line begins.
private struct YAMLReader {
  typealias Bytes = ArraySlice<UInt8>

  private struct Line {
    let number: Int
    var indent: Int
    /// Without comments, and without blanks around it; never empty.
    var text: Bytes
  }

  /// Each level takes a stack frame, so a hostile file must not choose how many.
  static let longest = 1 << 20, deepest = 64

  private var lines: [Line] = []
  private var next = 0
  /// The line that is being read, for messages.
  private var number = 1

  init(_ bytes: [UInt8]) throws(YAMLError) {
    guard bytes.count <= Self.longest else {
      throw YAMLError(line: 1, problem: "\(bytes.count) bytes, where \(Self.longest) are the limit")
    }
    for (i, whole) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
      let content = whole.last == 0x0D ? whole.dropLast() : whole
      if content.contains(where: { ($0 < 0x20 && $0 != 0x09) || $0 == 0x7F }) {
        throw YAMLError(line: i + 1, problem: "a control character")
      }
      let text = content.drop { $0 == 0x20 }
      let line = Line(number: i + 1, indent: text.startIndex - whole.startIndex, text: Self.withoutComment(text))
      if line.text.isEmpty { continue }
      if text.first == 0x09 {
        throw YAMLError(line: i + 1, problem: "a tab in the indentation, where only spaces count")
      }
      if lines.isEmpty && line.indent == 0 && line.text.elementsEqual("---".utf8) { continue }
      lines.append(line)
    }
  }

  mutating func document() throws(YAMLError) -> JSONValue {
    guard !lines.isEmpty else { return .object([:]) }
    let value = try block(depth: 0)
    guard next == lines.count else {
      number = lines[next].number
      throw problem("it belongs to nothing above: look at its indentation")
    }
    return value
  }

  // MARK: Blocks

  /// What begins at the next line.
  private mutating func block(depth: Int) throws(YAMLError) -> JSONValue {
    if depth > Self.deepest { throw problem("nested deeper than \(Self.deepest) levels") }
    number = lines[next].number
    if Self.isItem(lines[next].text) { return try list(lines[next].indent, depth) }
    if Self.colon(in: lines[next].text) != nil { return try mapping(lines[next].indent, depth) }
    next += 1
    return try inline(lines[next - 1].text, depth)
  }

  private mutating func list(_ indent: Int, _ depth: Int) throws(YAMLError) -> JSONValue {
    var elements: [JSONValue] = []
    while next < lines.count, lines[next].indent == indent, Self.isItem(lines[next].text) {
      let rest = Self.trimmed(lines[next].text.dropFirst())
      if rest.isEmpty {
        next += 1
        elements.append(try nested(deeperThan: indent, depth))
      } else {
        // What follows the dash stands in its own column: `- key: value` begins a mapping there.
        lines[next].indent += rest.startIndex - lines[next].text.startIndex
        lines[next].text = rest
        elements.append(try block(depth: depth + 1))
      }
    }
    return .array(elements)
  }

  private mutating func mapping(_ indent: Int, _ depth: Int) throws(YAMLError) -> JSONValue {
    var members: [String: JSONValue] = [:]
    while next < lines.count, lines[next].indent == indent, let colon = Self.colon(in: lines[next].text) {
      number = lines[next].number
      var name = lines[next].text[..<colon]
      guard let key = try scalar(&name, endingAt: "").string, Self.trimmed(name).isEmpty else {
        throw problem("a key that is no text: quote it")
      }
      if members[key] != nil { throw problem("the key \(quoted(key)) occurs twice") }
      let rest = Self.trimmed(lines[next].text[(colon + 1)...])
      next += 1
      if !rest.isEmpty {
        members[key] = try inline(rest, depth)
      } else if next < lines.count, lines[next].indent == indent, Self.isItem(lines[next].text) {
        members[key] = try list(indent, depth + 1)  // a key's list may stand in the key's own column
      } else {
        members[key] = try nested(deeperThan: indent, depth)
      }
    }
    return .object(members)
  }

  private mutating func nested(deeperThan indent: Int, _ depth: Int) throws(YAMLError) -> JSONValue {
    next < lines.count && lines[next].indent > indent ? try block(depth: depth + 1) : .null
  }

  // MARK: Values on one line

  private func inline(_ text: Bytes, _ depth: Int) throws(YAMLError) -> JSONValue {
    var rest = text
    let value = try flow(&rest, depth, endingAt: "")
    guard Self.trimmed(rest).isEmpty else { throw problem("unexpected text after a value") }
    return value
  }

  /// - Parameter ends: The characters that end a plain text, where brackets are open.
  private func flow(_ rest: inout Bytes, _ depth: Int, endingAt ends: String) throws(YAMLError) -> JSONValue {
    if depth > Self.deepest { throw problem("nested deeper than \(Self.deepest) levels") }
    rest = Self.trimmed(rest)
    guard let open = rest.first, open == UInt8(ascii: "[") || open == UInt8(ascii: "{") else {
      return try scalar(&rest, endingAt: ends)
    }
    let close = open + 2  // in ASCII, for both kinds
    var elements: [JSONValue] = []
    var members: [String: JSONValue] = [:]
    repeat {
      rest = Self.trimmed(rest.dropFirst())
      if rest.first == close { break }
      if open == UInt8(ascii: "[") {
        elements.append(try flow(&rest, depth + 1, endingAt: ",[]{}"))
      } else {
        guard let key = try scalar(&rest, endingAt: ":,[]{}").string else { throw problem("a key that is no text") }
        rest = Self.trimmed(rest)
        guard rest.popFirst() == UInt8(ascii: ":") else { throw problem("expected ':' after the key \(quoted(key))") }
        if members[key] != nil { throw problem("the key \(quoted(key)) occurs twice") }
        members[key] = try flow(&rest, depth + 1, endingAt: ",[]{}")
      }
      rest = Self.trimmed(rest)
    } while rest.first == UInt8(ascii: ",")
    guard rest.popFirst() == close else { throw problem("brackets that are not closed on the same line") }
    return open == UInt8(ascii: "[") ? .array(elements) : .object(members)
  }

  private func scalar(_ rest: inout Bytes, endingAt ends: String) throws(YAMLError) -> JSONValue {
    guard let first = rest.first else { throw problem("the line ends where a value should be") }
    if let length = Self.quotedLength(rest) {
      defer { rest = rest.dropFirst(length) }
      return .string(try unquoted(rest.prefix(length)))
    }
    let isIndicator = first == UInt8(ascii: "-") || first == UInt8(ascii: "?") || first == UInt8(ascii: ":")
    if "&*!|>%@`\"',[]{}".utf8.contains(first) || (isIndicator && Self.isBlank(rest.dropFirst())) {
      let name = quoted(String(Unicode.Scalar(first)))
      throw problem("a value that begins with \(name) is not read here: quote the text, or write the value out")
    }
    let plain = Self.trimmed(rest.prefix { !ends.utf8.contains($0) })
    guard let text = String(validating: plain, as: UTF8.self) else { throw problem("text that is not UTF-8") }
    if text.contains(": ") || text.hasSuffix(":") { throw problem("two keys on one line") }
    rest = rest.drop { !ends.utf8.contains($0) }
    return Self.resolved(text)
  }

  private func unquoted(_ text: Bytes) throws(YAMLError) -> String {
    do throws(JSONError) {
      // A text in double quotes is JSON's, save that tabs may stand in it.
      guard text.first == UInt8(ascii: "'") else {
        return try JSONValue(parsing: text.flatMap { $0 == 0x09 ? Array("\\t".utf8) : [$0] }).string ?? ""
      }
      let inside = String(validating: text.dropFirst().dropLast(), as: UTF8.self)
      guard let inside else { throw JSONError(offset: 0, problem: "it is not UTF-8") }
      return inside.replacing("''", with: "'")
    } catch {
      throw problem("a text in quotes: \(error.problem)")
    }
  }

  /// What a plain text means in the core schema of YAML 1.2.
  private static func resolved(_ text: String) -> JSONValue {
    switch text {
    case "null", "Null", "NULL", "~": return .null
    case "true", "True", "TRUE": return .bool(true)
    case "false", "False", "FALSE": return .bool(false)
    default:
      // Swift would read inf, nan and hexadecimal fractions too.
      guard text.utf8.allSatisfy({ "0123456789+-.eE".utf8.contains($0) }) else { return .string(text) }
      return Int(text).map { .integer($0) } ?? Double(text).map { .number($0) } ?? .string(text)
    }
  }

  // MARK: Bytes

  private static func isBlank(_ rest: Bytes) -> Bool { rest.first.map { $0 == 0x20 || $0 == 0x09 } ?? true }

  private static func isItem(_ text: Bytes) -> Bool { text.first == UInt8(ascii: "-") && isBlank(text.dropFirst()) }

  private static func trimmed(_ text: Bytes) -> Bytes {
    let start = text.drop { $0 == 0x20 || $0 == 0x09 }
    guard let last = start.lastIndex(where: { $0 != 0x20 && $0 != 0x09 }) else { return start.prefix(0) }
    return start[...last]
  }

  /// The colon after a line's key.
  private static func colon(in text: Bytes) -> Int? {
    if text.first == UInt8(ascii: "[") || text.first == UInt8(ascii: "{") { return nil }
    return outsideQuotes(text) { text[$0] == UInt8(ascii: ":") && isBlank(text[($0 + 1)...]) }
  }

  private static func withoutComment(_ text: Bytes) -> Bytes {
    let comment = outsideQuotes(text) { i in
      text[i] == UInt8(ascii: "#") && (i == text.startIndex || isBlank(text[(i - 1)...]))
    }
    return trimmed(text[..<(comment ?? text.endIndex)])
  }

  private static func outsideQuotes(_ text: Bytes, isWanted: (Int) -> Bool) -> Int? {
    var position = text.startIndex
    var mayQuote = true
    while position < text.endIndex {
      if mayQuote, let length = quotedLength(text[position...]) {
        position += length
        mayQuote = false
      } else {
        if isWanted(position) { return position }
        mayQuote = " \t,[{".utf8.contains(text[position])
        position += 1
      }
    }
    return nil
  }

  /// The bytes that a text in quotes takes, if one begins here and ends.
  private static func quotedLength(_ text: Bytes) -> Int? {
    guard let quote = text.first, quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") else { return nil }
    var position = text.startIndex + 1
    while position < text.endIndex {
      if text[position] == quote {
        guard quote == UInt8(ascii: "'"), position + 1 < text.endIndex, text[position + 1] == quote else {
          return position + 1 - text.startIndex
        }
        position += 1
      } else if text[position] == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
        position += 1
      }
      position += 1
    }
    return nil
  }

  private func problem(_ text: String) -> YAMLError { YAMLError(line: number, problem: text) }
}
