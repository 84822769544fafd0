import CKernels
import Platform

/// Numbers that look random and are the same in every run.
struct Noise {
  private var state: UInt64

  init(_ seed: UInt64 = 1) { state = seed }

  /// Uniform in [−1, 1).
  mutating func next() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-31
  }

  mutating func array(_ count: Int, scale: Float = 1, offset: Float = 0) -> [Float] {
    (0..<count).map { _ in next() * scale + offset }
  }
}

/// A buffer between guard zones, so that a kernel that writes outside is caught.
final class Guarded {
  static let guardCount = 64
  private let whole: UnsafeMutableBufferPointer<Float>
  let count: Int

  init(_ values: [Float]) {
    count = values.count
    let bytes = (values.count + 2 * Self.guardCount) * MemoryLayout<Float>.stride
    let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    whole = UnsafeMutableBufferPointer(
      start: raw.bindMemory(to: Float.self, capacity: values.count + 2 * Self.guardCount),
      count: values.count + 2 * Self.guardCount)
    whole.initialize(repeating: -12345.5)
    for (i, value) in values.enumerated() { pointer[i] = value }
  }

  /// Filled with NaN: what a kernel forgets to write shows.
  convenience init(empty count: Int) { self.init([Float](repeating: .nan, count: count)) }

  deinit { UnsafeMutableRawPointer(whole.baseAddress)?.deallocate() }

  var pointer: UnsafeMutablePointer<Float> { whole.baseAddress.unsafelyUnwrapped + Self.guardCount }
  var values: [Float] { (0..<count).map { pointer[$0] } }
  var isIntact: Bool {
    whole.prefix(Self.guardCount).allSatisfy { $0 == -12345.5 }
      && whole.suffix(Self.guardCount).allSatisfy { $0 == -12345.5 }
  }
}

/// max |a − b|; NaN where one is NaN and the other is not.
func largestError(_ found: [Float], _ expected: [Double]) -> Double {
  precondition(found.count == expected.count, "\(found.count) values against \(expected.count)")
  var worst = 0.0
  for (a, b) in zip(found, expected) {
    if Double(a) == b || (a.isNaN && b.isNaN) { continue }
    let error = abs(Double(a) - b)
    if error.isNaN { return .nan }
    worst = max(worst, error)
  }
  return worst
}

/// ‖a − b‖ / ‖b‖.
func relativeError(_ found: [Float], _ expected: [Double]) -> Double {
  precondition(found.count == expected.count, "\(found.count) values against \(expected.count)")
  var difference = 0.0
  var norm = 0.0
  for (a, b) in zip(found, expected) {
    difference += (Double(a) - b) * (Double(a) - b)
    norm += b * b
  }
  return (difference / max(norm, 1e-300)).squareRoot()
}

/// [N][C][P] to [N][⌈C/16⌉][P][16], the slow way.
func blocked<T: Numeric>(_ x: [T], samples: Int, channels: Int, pixels: Int) -> [T] {
  let blocks = (channels + 15) / 16
  var y = [T](repeating: 0, count: samples * blocks * pixels * 16)
  for n in 0..<samples {
    for c in 0..<channels {
      for p in 0..<pixels {
        y[((n * blocks + c / 16) * pixels + p) * 16 + c % 16] = x[(n * channels + c) * pixels + p]
      }
    }
  }
  return y
}

/// The first `count` numbers of every sample, and the others.
func split(_ x: [Float], samples: Int, at count: Int) -> [[Float]] {
  let size = x.count / samples
  let cuts = (0..<samples).map { ($0 * size, $0 * size + count, ($0 + 1) * size) }
  return [cuts.flatMap { x[$0.0..<$0.1] }, cuts.flatMap { x[$0.1..<$0.2] }]
}

/// OIHW to OIhw16i16o, the slow way, for multiples of 16.
func blockedWeights<T: Numeric>(_ w: [T], outputs: Int, inputs: Int, taps: Int) -> [T] {
  let outputBlocks = (outputs + 15) / 16
  let inputBlocks = (inputs + 15) / 16
  var y = [T](repeating: 0, count: outputBlocks * inputBlocks * taps * 256)
  for o in 0..<outputs {
    for i in 0..<inputs {
      for t in 0..<taps {
        y[((((o / 16) * inputBlocks + i / 16) * taps + t) * 16 + i % 16) * 16 + o % 16] = w[(o * inputs + i) * taps + t]
      }
    }
  }
  return y
}

/// The kernels use one pool, whose size is global: tests of kernels take turns.
func withThreads<T>(_ threads: Int32, _ body: () throws -> T) rethrows -> T {
  ck_set_threads(threads)
  defer { ck_set_threads(1) }
  return try body()
}
