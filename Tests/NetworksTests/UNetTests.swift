import Networks
import TensorGraph
import TestSupport
import Testing

@Suite struct UNetTests {
  @Test func thePapersNetworkHas328TensorsAnd35746307Parameters() throws {
    let parameters = try UNetConfig.paperCIFAR10.parameters()
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
      of: output.squared().mean(), withRespectTo: unet.trained.map(\.tensor))
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
    let error = #expect(throws: NetworkConfigError.self) { try UNetConfig.paperCIFAR10.validate(height: 28, width: 3) }
    #expect(
      error?.description
        == "images of 28×3 cannot be halved 3 times; sides must be multiples of 8, such as 32×8")
  }

  /// Sizes from a file that would overflow the arithmetic on them.
  @Test func impossibleSizesAreRefused() {
    for (height, width) in [(Int.max, 32), (32, Int.max), (0, 32), (32, -8), (1 << 21, 8)] {
      let error = #expect(throws: NetworkConfigError.self) {
        try UNetConfig.paperCIFAR10.validate(height: height, width: width)
      }
      #expect(error?.description == "images of \(height)×\(width) are impossible; sides must be 1…1048576")
    }
    var config = UNetConfig.paperCIFAR10
    config.blockOutChannels = .init(repeating: 32, count: 100)
    #expect(throws: NetworkConfigError.self) { try config.validate(height: 32, width: 32) }
    config.blockOutChannels = [.max, 256, 256, 256]
    let channels = #expect(throws: NetworkConfigError.self) { try config.validate() }
    #expect(channels?.description == "block_out_channels is \(Int.max); it must be 1…1048576")
    config.blockOutChannels[0] = 1 << 19
    let time = #expect(throws: NetworkConfigError.self) { try config.validate() }
    #expect(time?.description == "time_embedding_dim is \(4 << 19); it must be 1…1048576")
  }

  // MARK: First weights

  @Test(arguments: WeightInitialization.allCases)
  func firstWeightsHaveTheirVariance(initialization: WeightInitialization) throws {
    let parameters = try UNetVariant.small.parameters()
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
    let parameters = try UNetVariant.small.parameters()
    let first = WeightInitialization.ddpm.values(for: parameters, seed: 7)
    #expect(first == WeightInitialization.ddpm.values(for: parameters, seed: 7))
    let other = WeightInitialization.ddpm.values(for: parameters, seed: 8)
    #expect(first[0] != other[0])
    // Two parameters of one shape differ.
    let linear = parameters.indices.filter { parameters[$0].name.hasSuffix("time_emb_proj.weight") }
    #expect(first[linear[0]].floats.prefix(10) != first[linear[1]].floats.prefix(10))
  }
}

@Suite struct UNetCostTests {
  /// Multiply-adds of the paper's network at 32×32: 6.06 G a pass as PyTorch's profilers count convolutions and linear maps.
  @Test func countsThePapersNetwork() throws {
    let cost = try UNetCost(.paperCIFAR10, height: 32, width: 32)
    #expect(cost.tensors == 328)
    #expect(cost.parameters == 35_746_307)
    #expect(
      cost.parts.map(\.name) == [
        "time_embedding", "conv_in", "down_blocks.0", "down_blocks.1", "down_blocks.2", "down_blocks.3", "mid_block",
        "up_blocks.0", "up_blocks.1", "up_blocks.2", "up_blocks.3", "conv_norm_out", "conv_out",
      ])
    #expect(
      cost.parts.map(\.output) == [
        [512], [128, 32, 32], [128, 16, 16], [256, 8, 8], [256, 4, 4], [256, 4, 4], [256, 4, 4], [256, 8, 8],
        [256, 16, 16], [256, 32, 32], [128, 32, 32], [128, 32, 32], [3, 32, 32],
      ])
    // By hand: 2 · 9 · 3 · 128 · 32 · 32, and 2 · (128 · 512 + 512 · 512).
    #expect(cost.parts[1].operations == 7_077_888)
    #expect(cost.parts[0].operations == 655_360)
    // Mid block at 4×4, 256 channels: four 3×3 convolutions, four projections, two time projections, two products of attention.
    let mid = 4 * 9 * 256 * 256 * 16 + 4 * 256 * 256 * 16 + 2 * 512 * 256 + 2 * 16 * 16 * 256
    #expect(cost.parts[6].operations == 2 * mid)
  }

  @Test func memoryGrowsWithTheBatch() throws {
    let states = 35_746_307 * 4
    let one = try UNetMemory.sampling(.paperCIFAR10, batch: 1, height: 32, width: 32)
    let eight = try UNetMemory.sampling(.paperCIFAR10, batch: 8, height: 32, width: 32)
    #expect(one.states == states)
    #expect(eight.activations > 7 * one.activations && eight.activations <= 8 * one.activations)
    let training = try UNetMemory.training(.paperCIFAR10, batch: 8, height: 32, width: 32)
    #expect(training.states == 4 * states)
    #expect(training.activations > 5 * eight.activations)
    // From 512 MiB of intermediate results on, much is computed twice rather than kept.
    let large = try UNetMemory.training(.paperCIFAR10, batch: 32, height: 32, width: 32)
    #expect(large.activations < 3 * training.activations)
  }
}
