import Diffusion
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Decodes a file of `Golden`, which `scripts/golden/diffusion.py` makes.
func golden<Value: Decodable>(_ name: String, as type: Value.Type = Value.self) throws -> Value {
  let url = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden/\(name)")
  return try JSONDecoder().decode(type, from: Data(contentsOf: url))
}

/// Decodes a shared reference file.
func reference<Value: Decodable>(_ name: String, as type: Value.Type = Value.self) throws -> Value {
  try JSONDecoder().decode(type, from: Data(contentsOf: SharedFiles.url("reference/\(name)")))
}

/// Expects `error` ≤ `bound`; DDPM_SHOW_ERRORS prints what was measured.
func expect(
  _ error: Double, atMost bound: Double, _ what: String, sourceLocation: SourceLocation = #_sourceLocation
) {
  if ProcessInfo.processInfo.environment["DDPM_SHOW_ERRORS"] != nil { print("measured \(what): \(error) (≤ \(bound))") }
  #expect(error <= bound, "\(what)", sourceLocation: sourceLocation)
}

/// max |a − b| / |b|, with the absolute error where b is 0.
func maximumRelativeError(_ a: [Double], _ b: [Double]) -> Double {
  guard a.count == b.count else { return .infinity }
  return zip(a, b).map { $1 == 0 ? abs($0) : abs($0 - $1) / abs($1) }.reduce(0) { $1.isNaN ? .infinity : max($0, $1) }
}

/// ‖a − b‖ / ‖b‖.
func relativeL2(_ a: [Double], _ b: [Double]) -> Double {
  guard a.count == b.count else { return .infinity }
  let difference = zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
  let error = (difference / b.reduce(0) { $0 + $1 * $1 }).squareRoot()
  return error.isNaN ? .infinity : error
}

extension Images {
  var doubles: [Double] { scalars.map(Double.init) }
}

/// N(0, I) for tests, a function of the seed.
func normals(_ shape: Images.Shape, seed: UInt64) -> Images {
  CounterNoise(seed: seed, stream: .evaluation).initialNoise(shape: shape)
}

/// Mean and variance.
func moments(_ values: [Double]) -> (mean: Double, variance: Double) {
  let mean = values.reduce(0, +) / Double(values.count)
  return (mean, values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1))
}
