/// Reads the keys of one JSON object; every failure names file, key and value.
import Files

struct ConfigReader {
  let object: [String: JSONValue]
  let file: String

  func error(_ key: String, _ wanted: String) -> PipelineError {
    .value(file: file, key: key, found: (object[key] ?? .null).compactText, wanted: wanted)
  }

  /// Leaves `target` as it is where the key is absent.
  func read<Value>(
    _ key: String, into target: inout Value, _ convert: (JSONValue) -> Value?, _ wanted: String
  ) throws(PipelineError) {
    guard let value = object[key] else { return }
    guard let converted = convert(value) else { throw error(key, "it should be \(wanted)") }
    target = converted
  }

  /// nil where the key is absent or null.
  func optional<Value>(
    _ key: String, _ convert: (JSONValue) -> Value?, _ wanted: String
  ) throws(PipelineError) -> Value? {
    guard let value = object[key], !value.isNull else { return nil }
    guard let converted = convert(value) else { throw error(key, "it should be \(wanted)") }
    return converted
  }

  /// One of an enumeration's names; nil where the key is absent or, if allowed, null.
  func optionalCase<Value: RawRepresentable<String> & CaseIterable>(
    _ key: String, rename: (String) -> String = { $0 }, orNull: Bool = false
  ) throws(PipelineError) -> Value? {
    guard let value = object[key], !(orNull && value.isNull) else { return nil }
    guard let name = value.string, let found = Value(rawValue: rename(name)) else {
      throw error(key, supported(Value.self))
    }
    return found
  }

  /// A list of an enumeration's names.
  func cases<Value: RawRepresentable<String> & CaseIterable>(
    _ key: String, default fallback: [Value], rename: (String) -> String
  ) throws(PipelineError) -> [Value] {
    guard let value = object[key] else { return fallback }
    guard let names = value.array else { throw error(key, "it should be a list of block types") }
    var found: [Value] = []
    for name in names {
      guard let text = name.string, let block = Value(rawValue: rename(text)) else {
        throw .value(file: file, key: key, found: name.compactText, wanted: supported(Value.self))
      }
      found.append(block)
    }
    return found
  }

  private func supported<Value: RawRepresentable<String> & CaseIterable>(_: Value.Type) -> String {
    "we have " + Value.allCases.map(\.rawValue).joined(separator: ", ")
  }
}

extension JSONValue {
  /// A list of integers and nothing else.
  var integers: [Int]? {
    guard let array else { return nil }
    let integers = array.compactMap(\.integer)
    return integers.count == array.count ? integers : nil
  }
}
