import Networks
import Testing

/// A small network with one thing changed.
public struct UNetVariant: CustomTestStringConvertible, Sendable {
  public let testDescription: String
  public let config: UNetConfig

  init(_ name: String, _ change: (inout UNetConfig) -> Void) {
    var config = Self.small
    change(&config)
    (testDescription, self.config) = (name, config)
  }

  public static var small: UNetConfig {
    var config = UNetConfig()
    config.blockOutChannels = [16, 32]
    config.downBlocks = [.plain, .attention]
    config.upBlocks = [.attention, .plain]
    config.layersPerBlock = 1
    config.normGroups = 8
    return config
  }

  public static let all: [UNetVariant] = [
    .init("default") { _ in },
    .init("resnet blocks") { ($0.downBlocks, $0.upBlocks) = ([.resnet, .resnet], [.resnet, .resnet]) },
    .init("attention everywhere, resnet resampling") {
      ($0.downBlocks, $0.upBlocks) = ([.attention, .attention], [.attention, .attention])
      ($0.downsampling, $0.upsampling) = (.resnet, .resnet)
    },
    .init("one head, paper's padding") { ($0.attentionHeadChannels, $0.downsamplePadding) = (nil, 0) },
    .init("heads that do not fill the channels") { $0.attentionHeadChannels = 12 },
    .init("no mid block") { $0.hasMidBlock = false },
    .init("no mid attention") { $0.hasMidAttention = false },
    .init("scaled mid block") { $0.midBlockScaleFactor = 1.5 },
    .init("scale-shift") { $0.timeScaleShift = .scaleShift },
    .init("scale-shift, mid norm") { ($0.timeScaleShift, $0.attentionNormGroups) = (.scaleShift, 4) },
    .init("fourier") { $0.timeEmbedding = .fourier },
    .init("fourier, class as a number") { ($0.timeEmbedding, $0.classEmbedding) = (.fourier, .timestep) },
    .init("classes") { $0.classEmbedding = .learned(count: 10) },
    .init("class as a number") { $0.classEmbedding = .timestep },
    .init("class as a vector") { ($0.classEmbedding, $0.timeEmbeddingChannels) = (.identity, 24) },
    .init("mish") { $0.activation = .mish }, .init("gelu") { $0.activation = .gelu },
    .init("relu") { $0.activation = .relu }, .init("dropout") { $0.dropout = 0.3 },
    .init("centred input, cosines first") { ($0.centerInputSample, $0.cosinesFirst) = (true, true) },
    .init("three levels") {
      ($0.blockOutChannels, $0.layersPerBlock) = ([8, 16, 24], 2)
      ($0.downBlocks, $0.upBlocks) = ([.plain, .attention, .resnet], [.plain, .resnet, .attention])
    },
  ]
}
