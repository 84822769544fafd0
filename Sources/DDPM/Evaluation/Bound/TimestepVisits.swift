import Diffusion
import Platform
import TensorGraph

/// Which timesteps of an image are looked at: all T, or a few drawn so that the sum over all is estimated without bias.
///
/// t = 1, the decoder, is always looked at. The others, 2…T, are cut into strata, whose lengths grow with t because L_{t−1} falls about as
/// 1/t; one t is drawn uniformly from each stratum, for each image anew, and stands for the whole stratum.
public struct TimestepVisits: Sendable {
  /// A timestep, and for how many it stands.
  public struct Visit: Sendable, Equatable {
    /// 1…T.
    public let t: Timestep
    /// The length of its stratum.
    public let weight: Double
  }

  /// The timesteps there are.
  public let T: Int
  /// From the noise to the data.
  let strata: [ClosedRange<Int>]

  /// - Parameter count: timesteps for each image, 2…T; nil for all T. (T = 1 has only one.)
  /// - Throws: ``EvaluationError/timesteps(_:T:)`` for another count.
  public init(T: Int, count: Int?) throws(EvaluationError) {
    let count = count ?? T
    guard (min(2, T)...T).contains(count) else { throw .timesteps(count, T: T) }
    self.init(T: T, parts: count)
  }

  /// All T.
  public init(T: Int) { self.init(T: T, parts: T) }

  private init(T: Int, parts count: Int) {
    self.T = T
    var strata = [1...1]
    var start = 2
    for left in stride(from: count - 1, to: 0, by: -1) {
      // The rest, start…T, in `left` parts of equal ratio; each has at least one t and leaves one to each that follows.
      let ratio = pow(Double(T + 1) / Double(start), 1 / Double(left))
      let length = left == 1 ? T + 1 - start : Int((Double(start) * (ratio - 1)).rounded())
      let end = min(max(start, start + length - 1), T - left + 1)
      strata.append(start...end)
      start = end + 1
    }
    self.strata = strata.reversed()
  }

  /// Predictions for each image.
  public var count: Int { strata.count }
  /// Whether no t is left out.
  public var isComplete: Bool { count == T }

  /// The visits of an image, from large t to small: a function of the seed and the image's index.
  public func callAsFunction(image: Int, seed: UInt64) -> [Visit] {
    let key = Philox4x32.key(seed: seed)
    return strata.indices.map { k in
      // The step word beyond all t: these numbers are no one's noise.
      let counter = SIMD4(
        UInt32(truncatingIfNeeded: k), UInt32(truncatingIfNeeded: image), .max, RandomStream.evaluation.rawValue)
      let word = Philox4x32.block(counter: counter, key: key)[0]
      let offset = Int((UInt64(word) * UInt64(strata[k].count)) >> 32)
      return Visit(t: Timestep(strata[k].lowerBound + offset), weight: Double(strata[k].count))
    }
  }
}
