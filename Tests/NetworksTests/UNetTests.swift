import Networks
import TensorGraph
import TestSupport
import Testing

@Suite struct UNetTests {
  @Test func thePapersNetworkHas328TensorsAnd35746307Parameters() throws {
    let parameters = try UNet.parameters(of: .paperCIFAR10)
    #expect(parameters.count == 328)
    #expect(parameters.reduce(0) { $0 + $1.shape.count } == 35_746_307)
    #expect(Set(parameters.map(\.name)).count == 328)
    // diffusers' order: attention before the residual blocks of its level, the way up before the middle.
    #expect(
      parameters.map(\.name).filter {
        $0.hasSuffix("to_q.weight") || $0.hasSuffix("0.norm1.weight")
          || !$0.contains("blocks") && $0.hasSuffix("weight") && !$0.hasPrefix("mid")
      } == [
        "conv_in.weight", "time_embedding.linear_1.weight", "time_embedding.linear_2.weight",
        "down_blocks.0.resnets.0.norm1.weight", "down_blocks.1.attentions.0.to_q.weight",
        "down_blocks.1.attentions.1.to_q.weight", "down_blocks.1.resnets.0.norm1.weight",
        "down_blocks.2.resnets.0.norm1.weight", "down_blocks.3.resnets.0.norm1.weight",
        "up_blocks.0.resnets.0.norm1.weight", "up_blocks.1.resnets.0.norm1.weight",
        "up_blocks.2.attentions.0.to_q.weight", "up_blocks.2.attentions.1.to_q.weight",
        "up_blocks.2.attentions.2.to_q.weight", "up_blocks.2.resnets.0.norm1.weight",
        "up_blocks.3.resnets.0.norm1.weight", "mid_block.attentions.0.to_q.weight", "mid_block.resnets.0.norm1.weight",
        "conv_norm_out.weight", "conv_out.weight",
      ])
  }

  /// Every choice of architecture builds a graph whose output has the input's size.
  @Test(arguments: UNetVariant.all)
  func everyVariantBuilds(variant: UNetVariant) throws {
    let builder = GraphBuilder()
    let unet = try UNet(variant.config, in: builder)
    let sample = builder.input("sample", [2, 3, 8, 8])
    let timestep = builder.input("timestep", [2], .int32)
    let labels: Tensor? =
      switch variant.config.classEmbedding {
      case nil: nil
      case .learned, .timestep: builder.input("labels", [2], .int32)
      case .identity: builder.input("labels", [2, variant.config.timeChannels])
      }
    let source = DropoutSource(
      counters: builder.input("counters", [2, 2], .int32), key: builder.input("key", [2], .int32))
    let output = unet(sample: sample, timestep: timestep, classLabels: labels, dropout: source)
    #expect(output.shape == [2, 3, 8, 8])
    builder.output("output", output)
    let gradients = builder.gradients(
      of: output.squared().mean(), withRespectTo: unet.parameters.filter(\.parameter.isTrained).map(\.tensor))
    for (i, gradient) in gradients.enumerated() { builder.output("\(i)", gradient) }
    let program = try builder.finish()
    #expect(program.states.map(\.name) == unet.parameters.map(\.parameter.name))
  }

  @Test func dropoutStreamsDiffer() throws {
    var config = UNetVariant.small
    config.dropout = 0.1
    let builder = GraphBuilder()
    let unet = try UNet(config, in: builder)
    let source = DropoutSource(
      counters: builder.input("counters", [2, 2], .int32), key: builder.input("key", [2], .int32))
    let sample = builder.input("sample", [2, 3, 8, 8])
    let timestep = builder.input("timestep", [2], .int32)
    builder.output("train", unet(sample: sample, timestep: timestep, dropout: source))
    builder.output("sample", unet(sample: sample, timestep: timestep))
    let streams = try builder.finish().nodes.compactMap { node -> UInt32? in
      if case .dropoutMask(_, let rate, let stream) = node.op {
        #expect(rate == 0.1)
        return stream
      }
      return nil
    }
    #expect(streams.count == 2 * 1 + 2 * 2 + 2)
    #expect(Set(streams).count == streams.count)
    #expect(streams.allSatisfy { $0 & 0xFF == RandomStream.dropout.rawValue })
  }

  @Test func sizesAreCheckedUpFront() throws {
    try UNetConfig.paperCIFAR10.validate(height: 32, width: 48)
    let error = #expect(throws: UNetConfigError.self) { try UNetConfig.paperCIFAR10.validate(height: 28, width: 3) }
    #expect(
      error?.description
        == "images of 28×3 cannot be halved 3 times; sides must be multiples of 8, such as 32×8")
  }

  // MARK: First weights

  @Test(arguments: WeightInitialization.allCases)
  func firstWeightsHaveTheirVariance(initialization: WeightInitialization) throws {
    let parameters = try UNet.parameters(of: UNetVariant.small)
    let values = initialization.values(for: parameters, seed: 1)
    for (parameter, data) in zip(parameters, values) where parameter.shape.count >= 1000 {
      let variance = data.floats.reduce(0) { $0 + Double($1) * Double($1) } / Double(parameter.shape.count)
      let area = parameter.shape.dimensions.dropFirst(2).reduce(1, *)
      let (fanIn, fanOut) = (Double(parameter.shape[1] * area), Double(parameter.shape[0] * area))
      let last = ["conv2.weight", "to_out.0.weight", "conv_out.weight"].contains { parameter.name.hasSuffix($0) }
      let expected = initialization == .ddpm ? (last ? 1e-10 : 1) * 2 / (fanIn + fanOut) : 1 / (3 * fanIn)
      #expect(abs(variance / expected - 1) < 0.15, "\(parameter.name): \(variance), not \(expected)")
    }
    let norms = zip(parameters, values).filter { $0.0.role == .normScale || $0.0.role == .normShift }
    for (parameter, data) in norms { #expect(data.floats.allSatisfy { $0 == (parameter.role == .normScale ? 1 : 0) }) }
    let biases = zip(parameters, values).filter { if case .bias = $0.0.role { true } else { false } }
    #expect(biases.contains { $0.1.floats.contains { $0 != 0 } } == (initialization == .diffusers))
  }

  @Test func firstWeightsFollowTheSeedAlone() throws {
    let parameters = try UNet.parameters(of: UNetVariant.small)
    let first = WeightInitialization.ddpm.values(for: parameters, seed: 7)
    #expect(first == WeightInitialization.ddpm.values(for: parameters, seed: 7))
    let other = WeightInitialization.ddpm.values(for: parameters, seed: 8)
    #expect(first[0] != other[0])
    // Two parameters of one shape differ.
    let linear = parameters.indices.filter { parameters[$0].name.hasSuffix("time_emb_proj.weight") }
    #expect(first[linear[0]].floats.prefix(10) != first[linear[1]].floats.prefix(10))
  }
}

/// A small network with one thing changed.
struct UNetVariant: CustomTestStringConvertible, Sendable {
  let testDescription: String
  let config: UNetConfig

  init(_ name: String, _ change: (inout UNetConfig) -> Void) {
    var config = Self.small
    change(&config)
    (testDescription, self.config) = (name, config)
  }

  static var small: UNetConfig {
    var config = UNetConfig()
    config.blockOutChannels = [16, 32]
    config.downBlocks = [.plain, .attention]
    config.upBlocks = [.attention, .plain]
    config.layersPerBlock = 1
    config.normGroups = 8
    return config
  }

  static let all: [UNetVariant] = [
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
