#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension SchedulerConfig {
  /// A JSON value as diffusers writes it: Python's NaN and ±Infinity are numbers.
  public enum JSON: Sendable, Hashable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSON])
    case object([String: JSON])

    /// - Throws: the decoder's error where `data` is not JSON.
    public init(parsing data: Data) throws {
      let decoder = JSONDecoder()
      // JSON5 reads Infinity and NaN, which Python writes.
      decoder.allowsJSON5 = true
      self = try decoder.decode(JSON.self, from: data)
    }

    /// As Python's `json.dumps(indent=2, sort_keys=True)`.
    public var text: String { text(indent: "") }

    private func text(indent: String) -> String {
      let inner = indent + "  "
      switch self {
      case .null: return "null"
      case .bool(let value): return value ? "true" : "false"
      case .integer(let value): return "\(value)"
      case .number(let value):
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
        return "\(value)"
      case .string(let value): return Self.quoted(value)
      case .array(let values):
        if values.isEmpty { return "[]" }
        return "[\n" + values.map { inner + $0.text(indent: inner) }.joined(separator: ",\n") + "\n\(indent)]"
      case .object(let members):
        if members.isEmpty { return "{}" }
        let lines = members.sorted { $0.key < $1.key }.map {
          "\(inner)\(Self.quoted($0.key)): \($0.value.text(indent: inner))"
        }
        return "{\n" + lines.joined(separator: ",\n") + "\n\(indent)}"
      }
    }

    private static func quoted(_ string: String) -> String {
      var result = "\""
      for scalar in string.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\r": result += "\\r"
        case "\t": result += "\\t"
        case _ where scalar.value < 0x20:
          let hex = String(scalar.value, radix: 16)
          result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
        default: result.unicodeScalars.append(scalar)
        }
      }
      return result + "\""
    }
  }
}

extension SchedulerConfig.JSON: Decodable {
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Int.self) {
      self = .integer(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .string(value)
    } else if let value = try? container.decode([SchedulerConfig.JSON].self) {
      self = .array(value)
    } else {
      self = .object(try container.decode([String: SchedulerConfig.JSON].self))
    }
  }
}
