import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension TrainingConfiguration {
  /// The configuration as a JSON object.
  public var object: [String: JSONValue] {
    // Encoding numbers, strings and lists of them cannot fail.
    guard let data = try? JSONEncoder().encode(self), let value = try? JSONValue(parsing: Array(data)) else {
      return [:]
    }
    return value.object ?? [:]
  }

  /// Lays objects with some of the keys over the defaults, or over a preset; the last one wins.
  ///
  /// - Parameter layers: Each with the name of where it came from, for messages.
  /// - Throws: ``ConfigurationError`` naming an unknown key, or a value of the wrong kind.
  public init(
    over base: TrainingConfiguration, layers: [(source: String, object: [String: JSONValue])]
  ) throws(ConfigurationError) {
    var configuration = base
    for (source, object) in layers {
      let known = Set(CodingKeys.allCases.map(\.rawValue))
      for key in object.keys.sorted() where !known.contains(key) {
        throw ConfigurationError("\(source): unknown key \(key)\(Self.nearest(key, in: known))")
      }
      for (key, value) in object where value.double.map({ !$0.isFinite }) == true {
        throw ConfigurationError("\(source): \(key) is \(value.compactText), which is no number")
      }
      let merged = configuration.object.merging(object) { _, new in new }.filter { !$0.value.isNull }
      do {
        let data = Data(JSONValue.object(merged).compactText.utf8)
        configuration = try JSONDecoder().decode(TrainingConfiguration.self, from: data)
      } catch {
        throw ConfigurationError("\(source): \(Self.explain(error, merged))")
      }
    }
    self = configuration
  }

  /// Reads a JSON or YAML file with some of the keys; `preset` names what the others are taken from.
  ///
  /// - Throws: ``ConfigurationError`` or `FileError`.
  public static func readFile(_ url: URL) throws -> (preset: Preset?, object: [String: JSONValue]) {
    let bytes = try FileBytes.read(url.path, limit: 1 << 20)
    let value: JSONValue
    do {
      // YAML is a superset of JSON, but its errors speak of YAML.
      let isJSON = bytes.first { !" \t\r\n".utf8.contains($0) } == UInt8(ascii: "{")
      value = isJSON ? try JSONValue(parsing: bytes) : try JSONValue(yaml: String(decoding: bytes, as: UTF8.self))
    } catch {
      throw ConfigurationError("\(url.path): \("\(error)".split(separator: "\n").joined(separator: " "))")
    }
    guard var object = value.object else {
      throw ConfigurationError("\(url.path): holds \(value.kind), where keys and values are wanted: steps: 1000")
    }
    guard let name = object.removeValue(forKey: "preset") else { return (nil, object) }
    guard let preset = name.string.flatMap(Preset.init(rawValue:)) else {
      let presets = Preset.allCases.map(\.rawValue).joined(separator: ", ")
      throw ConfigurationError("\(url.path): preset is \(name.compactText); choose one of \(presets)")
    }
    return (preset, object)
  }

  private static func explain(_ error: any Error, _ object: [String: JSONValue]) -> String {
    guard let error = error as? DecodingError else { return "\(error)" }
    let (context, wanted): (DecodingError.Context, String)
    switch error {
    case .typeMismatch(let type, let found): (context, wanted) = (found, words(type))
    case .valueNotFound(let type, let found): (context, wanted) = (found, words(type))
    case .dataCorrupted(let found): (context, wanted) = (found, "something else")
    case .keyNotFound(let key, _): return "\(key.stringValue) is missing"
    @unknown default: return "\(error)"
    }
    guard let key = context.codingPath.first?.stringValue else { return context.debugDescription }
    let choices = CodingKeys(rawValue: key)?.choices.map { $0.joined(separator: " or ") } ?? wanted
    return "\(key) is \((object[key] ?? .null).compactText), where \(choices) is wanted"
  }

  private static func words(_ type: Any.Type) -> String {
    switch type {
    case is Int.Type: "an integer"
    case is Double.Type: "a number"
    case is Bool.Type: "true or false"
    case is String.Type: "text"
    default: "a list of integers"
    }
  }

  /// `; did you mean …?` for a key that is nearly right.
  private static func nearest(_ key: String, in known: Set<String>) -> String {
    let candidates = known.filter { $0.hasPrefix(key) || key.hasPrefix($0) || Set($0) == Set(key) }
    return candidates.sorted().first.map { "; did you mean \($0)?" } ?? ""
  }
}
