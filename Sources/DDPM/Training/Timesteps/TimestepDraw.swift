import Diffusion
import TensorGraph

/// How each training sample gets its t: a function of (seed, step, sample) and, with importance sampling, of the losses so far.
public struct TimestepDraw: Sendable {
  /// Timesteps are drawn from 1…T.
  public let T: Int
  /// That of the configuration.
  public let seed: UInt64
  /// nil draws uniformly.
  public private(set) var importance: LossHistory?

  /// - Parameter sampling: `importance` draws uniformly too, until every t has enough losses.
  public init(T: Int, seed: UInt64, sampling: TrainingConfiguration.TimestepSampling) {
    self.T = T
    self.seed = seed
    importance = sampling == .importance ? LossHistory(T: T) : nil
  }

  /// The timesteps of samples `first ..< first + count` in one step, and the weights that keep the mean of their losses unbiased.
  public func draw(step: Int, first: Int, count: Int) -> (t: [Timestep], weights: [Float]) {
    let cumulative = importance?.cumulative
    let key = Philox4x32.key(seed: seed)
    var t: [Timestep] = []
    var weights: [Float] = []
    for sample in first..<first + count {
      let counter = SIMD4(
        0, UInt32(truncatingIfNeeded: sample), UInt32(truncatingIfNeeded: step), RandomStream.trainingTimestep.rawValue)
      let words = Philox4x32.block(counter: counter, key: key)
      let bits = UInt64(words[1]) << 32 | UInt64(words[0])
      guard let cumulative else {
        // ⌊u T⌋ with u of 64 bits
        t.append(Timestep(zeroBased: Int(bits.multipliedFullWidth(by: UInt64(T)).high)))
        weights.append(1)
        continue
      }
      let u = Double(bits >> 11) * 0x1p-53
      let index = Self.first(in: cumulative, above: u)
      let p = cumulative[index] - (index > 0 ? cumulative[index - 1] : 0)
      t.append(Timestep(zeroBased: index))
      // w_t = 1 / (T p_t)
      weights.append(Float(1 / (Double(T) * p)))
    }
    return (t, weights)
  }

  /// Tells what the losses of drawn samples were.
  public mutating func record(_ losses: [Float], at t: [Timestep]) { importance?.record(losses, at: t) }

  mutating func restore(_ history: LossHistory) { importance = history }

  /// The first index whose value is above `u`: bisection.
  private static func first(in cumulative: [Double], above u: Double) -> Int {
    var (low, high) = (0, cumulative.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if cumulative[middle] > u { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

/// The last ten losses at each t: p_t ∝ √E[L_t²] (Nichol & Dhariwal 2021, eq. 18), mixed with 0.001 of the uniform distribution.
public struct LossHistory: Sendable, Equatable {
  /// Losses that are kept of each t.
  public static let depth = 10
  static let uniform = 0.001

  /// The timesteps there are.
  public let T: Int
  /// T × depth, oldest first where full.
  private(set) var losses: [Float]
  private(set) var counts: [Int]

  /// Of no losses yet.
  public init(T: Int) {
    self.T = T
    losses = [Float](repeating: 0, count: T * Self.depth)
    counts = [Int](repeating: 0, count: T)
  }

  init(T: Int, losses: [Float], counts: [Int]) {
    self.T = T
    self.losses = losses
    self.counts = counts
  }

  mutating func record(_ new: [Float], at t: [Timestep]) {
    for (loss, t) in zip(new, t) {
      let row = t.zeroBased * Self.depth
      if counts[t.zeroBased] < Self.depth {
        losses[row + counts[t.zeroBased]] = loss
        counts[t.zeroBased] += 1
      } else {
        for i in row..<row + Self.depth - 1 { losses[i] = losses[i + 1] }
        losses[row + Self.depth - 1] = loss
      }
    }
  }

  /// P(t ≤ index + 1); nil, for uniform, until every t has its ten losses.
  var cumulative: [Double]? {
    guard counts.allSatisfy({ $0 == Self.depth }) else { return nil }
    let roots = (0..<T).map { t in
      let squares = losses[t * Self.depth..<(t + 1) * Self.depth].reduce(0.0) { $0 + Double($1) * Double($1) }
      return (squares / Double(Self.depth)).squareRoot()
    }
    let sum = roots.reduce(0, +)
    guard sum > 0, sum.isFinite else { return nil }
    // p_t = (1 − 0.001) √E[L_t²] / Σ √E[L_t²] + 0.001/T
    var total = 0.0
    return roots.map { root in
      total += (1 - Self.uniform) * root / sum + Self.uniform / Double(T)
      return total
    }
  }
}
