import TensorGraph

/// An estimate of the memory that a network takes, in bytes, from its graph alone; engines need a little more or less.
public struct UNetMemory: Equatable, Sendable {
  /// Parameters and, in training, the two moments of Adam and the moving average.
  public let states: Int
  /// Intermediate results that are alive at the worst moment.
  public let activations: Int

  /// Bytes of both.
  public var total: Int { states + activations }

  /// Evaluating the network on `batch` images.
  ///
  /// - Throws: ``NetworkConfigError`` or `ProgramError` where there is no such network.
  public static func sampling(_ config: UNetConfig, batch: Int, height: Int, width: Int) throws -> UNetMemory {
    UNetMemory(try UNetCost.evaluation(config, batch: batch, height: height, width: width).0)
  }

  /// One training step on `batch` images: mean squared error, its gradients, Adam and the moving average, as the processor computes them:
  /// what takes one pass over memory twice rather than kept.
  ///
  /// - Throws: ``NetworkConfigError`` or `ProgramError` where there is no such network.
  public static func training(_ config: UNetConfig, batch: Int, height: Int, width: Int) throws -> UNetMemory {
    let builder = GraphBuilder()
    let unet = try UNet(config, in: builder)
    let output = try unet.evaluated(in: builder, batch: batch, height: height, width: width)
    let loss = output.meanSquaredError(builder.input("target", output.shape))
    let trained = unet.trained
    let gradients = builder.gradients(of: loss, withRespectTo: trained.map(\.tensor))
    builder.optimize(trained.map { ($0.parameter.name, $0.tensor) }, gradients: gradients, with: Adam())
    return UNetMemory(try builder.finish().recomputing())
  }

  /// Running a program as it stands, before a backend fuses anything.
  package init(_ program: Program) {
    states = program.states.reduce(0) { $0 + 4 * program.types[$1.value].shape.count }
    let lifetimes = program.lifetimes
    activations = lifetimes.peak { program.workingByteCount(of: $0, lifetimes) }.byteCount
  }
}
