/// What is done to x̂_0 before it enters the posterior mean.
public enum X0Limit: Sendable, Hashable {
  case none
  /// Clamped to [−bound, bound]; the data's range is 1.
  case clip(Double = 1)
  /// Dynamic thresholding (Saharia et al. 2022): per sample, s is the `ratio` quantile of |x̂_0| kept within [1, maximum], and x̂_0 becomes
  /// clamp(x̂_0, −s, s)/s.
  case dynamic(ratio: Double = 0.995, maximum: Double = 1)

  /// Applies the limit to one sample.
  public func apply<Scalar: BinaryFloatingPoint>(_ x0: inout ArraySlice<Scalar>) {
    switch self {
    case .none:
      break
    case .clip(let bound):
      let b = Scalar(bound)
      for i in x0.indices { x0[i] = min(max(x0[i], -b), b) }
    case .dynamic(let ratio, let maximum):
      let s = min(max(Self.quantile(ratio, of: x0.map(abs)), 1), Scalar(maximum))
      for i in x0.indices { x0[i] = min(max(x0[i], -s), s) / s }
    }
  }

  /// Applies the limit to each sample of a batch.
  public func callAsFunction(_ x0: Images) -> Images {
    switch self {
    case .none:
      return x0
    case .clip(let bound):
      return x0.clamped(to: bound)
    case .dynamic:
      return Images(
        shape: x0.shape,
        scalars: (0..<x0.shape.count).flatMap { n in
          var sample = x0.scalars[x0.range(ofSample: n)]
          apply(&sample)
          return sample
        })
    }
  }

  /// The value at rank q(n − 1) of the sorted values, linear between ranks.
  private static func quantile<Scalar: BinaryFloatingPoint>(_ q: Double, of values: [Scalar]) -> Scalar {
    guard !values.isEmpty else { return 1 }
    let sorted = values.sorted()
    let rank = Scalar(q) * Scalar(sorted.count - 1)
    let low = Int(rank.rounded(.down))
    let high = min(low + 1, sorted.count - 1)
    return sorted[low] + (sorted[high] - sorted[low]) * (rank - Scalar(low))
  }
}
