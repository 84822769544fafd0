import Diffusion
import Files

/// Takes keys out of a JSON object one by one; what nobody took is an error at the end.
struct SchedulerReader {
  private var members: [String: JSONValue]
  private var ignored: [String: JSONValue] = [:]

  init(_ members: [String: JSONValue]) { self.members = members }

  private mutating func take(_ key: String) -> JSONValue? {
    guard let value = members.removeValue(forKey: key), value != .null else { return nil }
    return value
  }

  mutating func string(_ key: String) throws(SchedulerConfigError) -> String? {
    guard let value = take(key) else { return nil }
    guard case .string(let string) = value else { throw .type(key: key, found: value.compactText, wanted: "a string") }
    return string
  }

  mutating func bool(_ key: String) throws(SchedulerConfigError) -> Bool? {
    guard let value = take(key) else { return nil }
    guard case .bool(let bool) = value else { throw .type(key: key, found: value.compactText, wanted: "true or false") }
    return bool
  }

  mutating func integer(_ key: String, in range: ClosedRange<Int>) throws(SchedulerConfigError) -> Int? {
    guard let value = take(key) else { return nil }
    guard case .integer(let integer) = value, range.contains(integer) else {
      throw .type(
        key: key, found: value.compactText, wanted: "an integer from \(range.lowerBound) to \(range.upperBound)")
    }
    return integer
  }

  mutating func number(
    _ key: String, _ wanted: String = "a number", where isWanted: (Double) -> Bool = { _ in true }
  ) throws(SchedulerConfigError) -> Double? {
    guard let value = take(key) else { return nil }
    let number = try Self.number(value, key)
    guard isWanted(number) else { throw .type(key: key, found: value.compactText, wanted: wanted) }
    return number
  }

  mutating func numbers(_ key: String) throws(SchedulerConfigError) -> [Double]? {
    guard let value = take(key) else { return nil }
    guard case .array(let values) = value else {
      throw .type(key: key, found: value.compactText, wanted: "a list of numbers")
    }
    var numbers: [Double] = []
    for value in values { numbers.append(try Self.number(value, key)) }
    return numbers
  }

  mutating func integers(_ key: String) throws(SchedulerConfigError) -> [Int]? {
    guard let value = take(key) else { return nil }
    let integers = value.array?.compactMap(\.integer)
    guard let integers, integers.count == value.array?.count else {
      throw .type(key: key, found: value.compactText, wanted: "a list of integers")
    }
    return integers
  }

  /// A key that is supported with one value only.
  mutating func require(_ wanted: JSONValue, _ key: String, _ advice: String) throws(SchedulerConfigError) {
    if let value = take(key), value != wanted {
      throw .unsupported(key: key, found: value.string ?? value.compactText, advice: advice)
    }
  }

  mutating func choice<Choice: RawRepresentable & CaseIterable>(
    _ key: String
  ) throws(SchedulerConfigError) -> Choice? where Choice.RawValue == String {
    guard let name = try string(key) else { return nil }
    guard let choice = Choice(rawValue: name) else {
      throw .value(key: key, found: name, allowed: Choice.allCases.map(\.rawValue))
    }
    return choice
  }

  private static func number(_ value: JSONValue, _ key: String) throws(SchedulerConfigError) -> Double {
    switch value {
    case .integer(let integer): return Double(integer)
    case .number(let number): return number
    // diffusers writes −∞ as a string in some versions.
    case .string("-inf"), .string("-Infinity"): return -.infinity
    default: throw .type(key: key, found: value.compactText, wanted: "a number")
    }
  }

  /// Passes over a key that changes nothing, and keeps it.
  mutating func ignore(_ key: String) {
    if let value = members.removeValue(forKey: key) { ignored[key] = value }
  }

  /// What is kept; throws where a key was neither read nor known to be harmless.
  func rest() throws(SchedulerConfigError) -> [String: JSONValue] {
    var kept = ignored
    for (key, value) in members.sorted(by: { $0.key < $1.key }) {
      // Private keys are metadata; null and false are features left off.
      guard key.hasPrefix("_") || value == .null || value == .bool(false) else {
        throw .unknownKey(key, found: value.compactText)
      }
      kept[key] = value
    }
    return kept
  }
}
