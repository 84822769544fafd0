/// Σ_θ of p_θ(x_{t−1} | x_t).
public enum ReverseVariance: String, Sendable, CaseIterable {
  /// σ_t² = β̃_t: right if x_0 is one point.
  case fixedSmall = "fixed_small"
  /// σ_t² = β_t: right if x_0 is N(0, I).
  case fixedLarge = "fixed_large"
  /// The network's second half of channels, s_θ, is ln σ_t².
  case learned
  /// s_θ in [−1, 1] says where between the two: ln σ_t² = (s_θ+1)/2 ln β_t + (1−s_θ)/2 ln β̃_t (Nichol & Dhariwal 2021, eq. 15 with
  /// v = (s_θ+1)/2).
  case learnedRange = "learned_range"

  /// Whether the network has twice the image's channels.
  public var isLearned: Bool { self == .learned || self == .learnedRange }
}

/// ln σ² of a Gaussian over images: one number, or one a scalar.
public enum LogVariance: Sendable, Equatable {
  /// One number for all scalars.
  case uniform(Double)
  /// A number of its own for each scalar.
  case each(Images)
}
