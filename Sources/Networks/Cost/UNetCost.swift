import TensorGraph

/// What each part of a network costs for one image.
public struct UNetCost: Equatable, Sendable {
  /// In the order in which an image passes through them.
  public let parts: [Part]

  /// A part of the network: an end, the time embedding, or the block of a resolution.
  public struct Part: Equatable, Sendable {
    /// As parameters are named: `conv_in`, `down_blocks.0`, `mid_block`, …
    public let name: String
    /// What it gives for one image: (channels, height, width), or (channels) of the time embedding.
    public internal(set) var output: [Int] = []
    /// Parameter tensors, trained or not.
    public internal(set) var tensors = 0
    /// Scalars in them.
    public internal(set) var parameters = 0
    /// Floating-point operations of convolutions, linear maps and attention, a multiplication and an addition counting as two.
    public internal(set) var operations = 0
  }

  /// Parameter tensors of all parts.
  public var tensors: Int { parts.reduce(0) { $0 + $1.tensors } }
  /// Scalars in all of them.
  public var parameters: Int { parts.reduce(0) { $0 + $1.parameters } }
  /// Floating-point operations of all parts for one image, a multiplication and an addition counting as two.
  public var operations: Int { parts.reduce(0) { $0 + $1.operations } }

  /// Counts on the graph of one evaluation, so that nothing is described twice.
  ///
  /// - Throws: ``NetworkConfigError`` where the configuration or the size makes no network, `ProgramError` where a tensor is too large.
  public init(_ config: UNetConfig, height: Int, width: Int) throws {
    let (program, unet) = try Self.evaluation(config, batch: 1, height: height, width: width)
    var parts: [String: Part] = [:]
    for (parameter, _) in unet.parameters {
      let name = Self.part(of: parameter.name)
      parts[name, default: Part(name: name)].tensors += 1
      parts[name]?.parameters += parameter.shape.count
    }

    // An operator belongs to the part whose parameters it uses or, without any, to that of its first operand.
    var owners: [Program.ValueID: String] = [:]
    for node in program.nodes {
      var owner: String?
      switch node.op {
      case .state(let name): owner = Self.part(of: name)
      case .convolution, .matmul, .groupNorm, .gatherRows:
        owner = node.operands.dropFirst().lazy.compactMap { owners[$0] }.first
      default: break
      }
      owner = owner ?? node.operands.lazy.compactMap { owners[$0] }.first
      guard let owner else { continue }
      for result in node.results { owners[result] = owner }
      let output = program.types[node.results[0]].shape
      parts[owner]?.operations += node.multiplyAdds(program.types) * 2
      switch node.op {
      case .convolution, .groupNorm, .attention, .upsampleNearest, .gatherRows:
        parts[owner]?.output = Array(output.dimensions.dropFirst())
      case .matmul where owner.hasSuffix("embedding"): parts[owner]?.output = Array(output.dimensions.dropFirst())
      default: break
      }
    }
    self.parts = Self.order(config).compactMap { parts[$0] }
  }

  /// The graph of one evaluation on `batch` images.
  static func evaluation(
    _ config: UNetConfig, batch: Int, height: Int, width: Int
  ) throws -> (Program, UNet) {
    let builder = GraphBuilder()
    let unet = try UNet(config, in: builder)
    builder.output("output", try unet.evaluated(in: builder, batch: batch, height: height, width: width))
    return (try builder.finish(), unet)
  }

  /// `down_blocks.0.resnets.…` → `down_blocks.0`, `conv_in.weight` → `conv_in`.
  private static func part(of parameter: String) -> String {
    let components = parameter.split(separator: ".")
    return components.prefix(components[0].hasSuffix("_blocks") ? 2 : 1).joined(separator: ".")
  }

  private static func order(_ config: UNetConfig) -> [String] {
    let levels = config.blockOutChannels.indices
    return ["time_proj", "time_embedding", "class_embedding", "conv_in"] + levels.map { "down_blocks.\($0)" }
      + ["mid_block"] + levels.map { "up_blocks.\($0)" } + ["conv_norm_out", "conv_out"]
  }
}

extension UNet {
  /// The network on fresh inputs of the given size.
  func evaluated(in builder: GraphBuilder, batch: Int, height: Int, width: Int) throws -> Tensor {
    try config.validate(height: height, width: width)
    let labels: Tensor? =
      switch config.classEmbedding {
      case nil: nil
      case .learned, .timestep: builder.input("class_labels", [batch], .int32)
      case .identity: builder.input("class_labels", [batch, config.timeChannels])
      }
    return self(
      sample: builder.input("sample", [batch, config.inChannels, height, width]),
      timestep: builder.input("timestep", [batch], .int32), classLabels: labels)
  }
}

extension Program.Node {
  /// Multiplications (with their additions) of a forward operator.
  fileprivate func multiplyAdds(_ types: [TensorType]) -> Int {
    let output = types[results[0]].shape
    func operand(_ i: Int) -> Shape { types[operands[i]].shape }
    switch op {
    case .convolution: return output.count * operand(1).dimensions.dropFirst().reduce(1, *)
    case .matmul(let transposeA, _):
      let a = operand(0)
      return output.count * a[transposeA ? a.rank - 2 : a.rank - 1]
    // Scores, then their mix of the values.
    case .attention: return 2 * output.count * operand(1)[2]
    default: return 0
    }
  }
}
