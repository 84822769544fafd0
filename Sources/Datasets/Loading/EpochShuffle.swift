/// The order in which examples are drawn: example k of a run is `self[k]`, a pure function of (seed, count, k).
///
/// Each epoch of `count` draws is its own random permutation. It is never stored: a Feistel network permutes the smallest
/// power of four that holds `count`, and walks on until it lands inside (Black and Rogaway 2002, "Ciphers with arbitrary
/// finite domains"), so any k costs the same few dozen operations, and resuming needs the number k alone.
public struct EpochShuffle: Sendable {
  /// Another seed is another order of every epoch.
  public let seed: UInt64
  /// Draws an epoch.
  public let count: Int
  /// Half the bits of the domain.
  private let half: UInt64

  /// - Parameter count: at least 1.
  public init(seed: UInt64, count: Int) {
    precondition(count > 0, "nothing to shuffle")
    self.seed = seed
    self.count = count
    let bits = Int.bitWidth - (count - 1).leadingZeroBitCount
    half = UInt64(max(1, (bits + 1) / 2))
  }

  /// The index of the example that is drawn as number `cursor`, counted from 0 through all epochs.
  public subscript(cursor: Int) -> Int {
    let (epoch, position) = cursor.quotientAndRemainder(dividingBy: count)
    let key = CounterRandom.mix(CounterRandom.mix(seed &+ CounterRandom.golden) ^ UInt64(bitPattern: Int64(epoch)))
    var value = UInt64(position)
    repeat { value = permuted(value, key) } while value >= UInt64(count)
    return Int(value)
  }

  /// Eight rounds of (left, right) ← (right, left ⊕ hash(right)).
  private func permuted(_ value: UInt64, _ key: UInt64) -> UInt64 {
    let mask = (1 << half) &- 1 as UInt64
    var left = value >> half, right = value & mask
    for round in 0..<8 as Range<UInt64> {
      (left, right) = (right, left ^ (CounterRandom.mix(key &+ round &* CounterRandom.golden &+ right) & mask))
    }
    return left << half | right
  }
}
