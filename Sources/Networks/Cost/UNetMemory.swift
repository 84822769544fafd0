import TensorGraph

/// An estimate of the memory that a network takes, in bytes, from its graph alone; engines need a little more or less.
public struct UNetMemory: Equatable, Sendable {
  /// Parameters and, in training, the two moments of Adam and the moving average.
  public let states: Int
  /// Intermediate results that are alive at the worst moment.
  public let activations: Int

  public var total: Int { states + activations }

  /// Evaluating the network on `batch` images.
  ///
  /// - Throws: ``UNetConfigError`` or `ProgramError` where there is no such network.
  public static func sampling(_ config: UNetConfig, batch: Int, height: Int, width: Int) throws -> UNetMemory {
    UNetMemory(try UNetCost.evaluation(config, batch: batch, height: height, width: width).0)
  }

  /// One training step on `batch` images: mean squared error, its gradients, Adam and the moving average.
  ///
  /// - Throws: ``UNetConfigError`` or `ProgramError` where there is no such network.
  public static func training(_ config: UNetConfig, batch: Int, height: Int, width: Int) throws -> UNetMemory {
    let builder = GraphBuilder()
    let unet = try UNet(config, in: builder)
    let output = try unet.evaluated(in: builder, batch: batch, height: height, width: width)
    let loss = output.meanSquaredError(builder.input("target", output.shape))
    let trained = unet.trained
    let gradients = builder.gradients(of: loss, withRespectTo: trained.map(\.tensor))
    builder.optimize(trained.map { ($0.parameter.name, $0.tensor) }, gradients: gradients, with: Adam())
    return UNetMemory(try builder.finish())
  }

  /// Walks the program in order: a result is alive from its operator to the last one that reads it.
  private init(_ program: Program) {
    func bytes(_ value: Program.ValueID) -> Int { program.types[value].shape.count * 4 }
    states = program.states.reduce(0) { $0 + bytes($1.value) }

    // A reshaped tensor is the same memory: reading one keeps the other.
    var roots = Array(program.types.indices)
    for node in program.nodes {
      if case .reshape = node.op { roots[node.results[0]] = roots[node.operands[0]] }
    }
    var lastReader: [Program.ValueID: Int] = [:]
    for (index, node) in program.nodes.enumerated() {
      for operand in node.operands { lastReader[roots[operand]] = index }
    }
    for output in program.outputs { lastReader[roots[output.value]] = program.nodes.count }

    var (alive, peak) = (0, 0)
    var dying: [Int: [Program.ValueID]] = [:]
    for (index, node) in program.nodes.enumerated() {
      switch node.op {
      // States are counted above, updated parameters are written over the old ones, and views take nothing.
      case .state, .adam, .reshape: break
      default:
        for result in node.results {
          alive += bytes(result)
          dying[lastReader[result] ?? index, default: []].append(result)
        }
      }
      peak = max(peak, alive)
      for value in dying.removeValue(forKey: index) ?? [] { alive -= bytes(value) }
    }
    activations = peak
  }
}
