import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Decodes a file of the folder `Golden` beside the test that asks; `scripts/golden` makes them.
package func golden<Value: Decodable>(
  _ name: String, as type: Value.Type = Value.self, of file: String = #filePath
) throws -> Value {
  let url = URL(filePath: file).deletingLastPathComponent().appending(path: "Golden/\(name)")
  return try JSONDecoder().decode(type, from: Data(contentsOf: url))
}

/// Decodes a shared reference file.
package func reference<Value: Decodable>(_ name: String, as type: Value.Type = Value.self) throws -> Value {
  try JSONDecoder().decode(type, from: Data(contentsOf: SharedFiles.url("reference/\(name)")))
}

/// Expects `error` ≤ `bound`; DDPM_SHOW_ERRORS prints what was measured.
package func expect(
  _ error: Double, atMost bound: Double, _ what: String, sourceLocation: SourceLocation = #_sourceLocation
) {
  if ProcessInfo.processInfo.environment["DDPM_SHOW_ERRORS"] != nil { print("measured \(what): \(error) (≤ \(bound))") }
  #expect(error <= bound, "\(what)", sourceLocation: sourceLocation)
}

/// max |a − b| / |b|, with the absolute error where b is 0.
package func maximumRelativeError(_ a: [Double], _ b: [Double]) -> Double {
  guard a.count == b.count else { return .infinity }
  return zip(a, b).map { $1 == 0 ? abs($0) : abs($0 - $1) / abs($1) }.reduce(0) { $1.isNaN ? .infinity : max($0, $1) }
}

/// ‖a − b‖ / ‖b‖.
package func relativeL2(_ a: [Double], _ b: [Double]) -> Double {
  guard a.count == b.count else { return .infinity }
  let difference = zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
  let error = (difference / b.reduce(0) { $0 + $1 * $1 }).squareRoot()
  return error.isNaN ? .infinity : error
}
