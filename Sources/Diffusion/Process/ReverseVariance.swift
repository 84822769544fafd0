/// Σ_θ of p_θ(x_{t−1} | x_t).
public enum ReverseVariance: String, Sendable, CaseIterable {
  /// σ_t² = β̃_t: right if x_0 is one point.
  case fixedSmall = "fixed_small"
  /// σ_t² = β_t: right if x_0 is N(0, I).
  case fixedLarge = "fixed_large"
  /// The network's second half of channels is ln σ_t².
  case learned
  /// The network's second half of channels, v in [−1, 1], lies between the two: ln σ_t² = (v+1)/2 ln β_t + (1−v)/2 ln β̃_t
  /// (Nichol & Dhariwal 2021, eq. 15).
  case learnedRange = "learned_range"

  /// Whether the network has twice the image's channels.
  public var isLearned: Bool { self == .learned || self == .learnedRange }
}

/// ln σ² of a Gaussian over images: one number, or one a scalar.
public enum LogVariance: Sendable, Equatable {
  case uniform(Double)
  case each(Images)
}
