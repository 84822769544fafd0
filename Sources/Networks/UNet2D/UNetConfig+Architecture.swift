import TensorGraph

extension UNetConfig: Architecture {
  /// Of x_t: those of the input less those of the pictures beside it.
  public var channels: Int { inChannels - pictureChannels }

  /// The number of rows; nil also for embeddings that are no table.
  public var classRows: Int? { if case .learned(let count) = classEmbedding { count } else { nil } }

  /// Whether ``dropout`` is more than 0.
  public var hasDropout: Bool { dropout > 0 }

  /// - Throws: ``NetworkConfigError`` where the configuration makes no network.
  public func declare(in builder: GraphBuilder, prefix: String) throws -> any Network {
    try UNet(self, in: builder, prefix: prefix)
  }

  /// What its residual blocks have in common.
  var resnet: ResnetBlock.Settings {
    var settings = ResnetBlock.Settings(timeChannels: timeChannels)
    settings.activation = activation
    settings.conditioning = timeScaleShift
    (settings.normGroups, settings.normEpsilon, settings.dropout) = (normGroups, normEpsilon, dropout)
    return settings
  }

  /// How it sees a timestep.
  func timeFeatures(_ scope: ParameterScope) -> TimestepFeatures {
    let channels = blockOutChannels[0]
    switch timeEmbedding {
    case .positional:
      return .positional(
        SinusoidalEmbedding(dimension: channels, flipSinToCos: cosinesFirst, frequencyShift: frequencyShift))
    case .fourier: return .fourier(frequencies: scope.parameter("weight", [channels], .frequencies))
    }
  }

  /// What class labels become.
  func classEmbedding(_ scope: ParameterScope, features: TimestepFeatures) -> Networks.ClassEmbedding? {
    switch classEmbedding {
    case nil: nil
    case .learned(let rows): Networks.ClassEmbedding(scope, rows: rows, channels: timeChannels)
    case .timestep:
      .timestep(features, TimestepEmbedding(scope, features: timeFeatureCount, channels: timeChannels))
    case .identity: .identity
    }
  }
}

extension UNetConfig {
  /// Image sides must be multiples of this: every level but the last halves them.
  public var sizeMultiple: Int { 1 << min(62, max(0, blockOutChannels.count - 1)) }

  /// Checks that images of this size come out as they went in.
  ///
  /// - Throws: ``NetworkConfigError`` naming the nearest sizes that work.
  public func validate(height: Int, width: Int) throws(NetworkConfigError) {
    let multiple = sizeMultiple
    // Far beyond any image; keeps the arithmetic on sizes from overflowing.
    let limit = 1 << 20
    for side in [height, width] where !(1...limit).contains(side) {
      throw NetworkConfigError("images of \(height)×\(width) are impossible; sides must be 1…\(limit)")
    }
    func nearest(_ side: Int) -> Int { max(multiple, (side + multiple / 2) / multiple * multiple) }
    guard height % multiple == 0, width % multiple == 0 else {
      throw NetworkConfigError(
        "images of \(height)×\(width) cannot be halved \(blockOutChannels.count - 1) times; "
          + "sides must be multiples of \(multiple), such as \(nearest(height))×\(nearest(width))")
    }
  }
}
