/// Random numbers that depend on (seed, stream, index) alone: whatever was drawn before, on whichever thread.
///
/// SplitMix64 (Steele, Lea and Flood 2014), started at a hash of the three.
public struct CounterRandom: RandomNumberGenerator, Sendable {
  private var state: UInt64

  /// - Parameter stream: what the numbers are for, so that two uses of one seed share nothing.
  public init(seed: UInt64, stream: UInt64, index: Int) {
    state = Self.mix(Self.mix(Self.mix(seed &+ Self.golden) ^ stream) ^ UInt64(bitPattern: Int64(index)))
  }

  public mutating func next() -> UInt64 {
    state &+= Self.golden
    return Self.mix(state)
  }

  /// Uniform in [0, 1), 53 bits.
  public mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// Uniform in a range.
  public mutating func uniform(_ range: ClosedRange<Double>) -> Double {
    range.lowerBound + (range.upperBound - range.lowerBound) * unit()
  }

  static let golden: UInt64 = 0x9E37_79B9_7F4A_7C15

  /// A bijection of 64 bits in which every input bit moves every output bit.
  static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
