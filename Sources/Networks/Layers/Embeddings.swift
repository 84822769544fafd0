import TensorGraph

/// Features of a timestep: (N) → (N, features).
public enum TimestepFeatures {
  /// sin and cos of t at geometric frequencies (Vaswani et al. 2017).
  case positional(SinusoidalEmbedding)
  /// sin and cos of 2π w log t at fixed random frequencies w (Song et al. 2021). t must be positive.
  case fourier(frequencies: Tensor)

  /// t, floating point (N), to its features (N, features).
  public func callAsFunction(_ t: Tensor) -> Tensor {
    switch self {
    case .positional(let embedding): return t.sinusoidalEmbedding(embedding)
    case .fourier(let frequencies):
      let angles = t.log().reshaped([t.shape[0], 1]) * frequencies * 2 * Double.pi
      return concat([angles.sin(), angles.cos()], axis: 1)
    }
  }
}

/// Two layers on the features of a timestep: (N, features) → (N, time channels).
public struct TimestepEmbedding {
  let linear1: Linear
  let linear2: Linear

  /// - Parameters:
  ///   - features: of a timestep, as ``TimestepFeatures`` gives them.
  ///   - channels: time channels, of both layers' outputs.
  public init(_ scope: ParameterScope, features: Int, channels: Int) {
    linear1 = Linear(scope["linear_1"], from: features, to: channels)
    linear2 = Linear(scope["linear_2"], from: channels, to: channels)
  }

  /// (N, features) → (N, time channels): always with SiLU between, whatever the activation of the blocks.
  public func callAsFunction(_ features: Tensor) -> Tensor { linear2(linear1(features).silu()) }
}

/// What class labels add to the time embedding: (N, time channels).
public enum ClassEmbedding {
  /// Row y of a learned table.
  case learned(table: Tensor)
  /// The label's features, as those of a timestep, through two layers of their own.
  case timestep(TimestepFeatures, TimestepEmbedding)
  /// The label is the embedding.
  case identity

  /// A learned table.
  public init(_ scope: ParameterScope, rows: Int, channels: Int) {
    self = .learned(table: scope.parameter("weight", [rows, channels], .embedding))
  }

  /// - Parameter labels: integers (N) for a table, numbers (N) for `timestep`, the embedding itself (N, time channels) for `identity`.
  public func callAsFunction(_ labels: Tensor) -> Tensor {
    switch self {
    case .learned(let table): table.gatherRows(labels)
    case .timestep(let features, let embedding): embedding(features(labels.asFloat))
    case .identity: labels
    }
  }
}

extension Tensor {
  /// Integers converted, floating point as it is.
  var asFloat: Tensor { dtype == .float ? self : toFloat() }
}
