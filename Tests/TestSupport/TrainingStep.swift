import Networks
import TensorGraph

/// A training step of a small U-Net as every backend can run it: noise, prediction, loss, gradients, clipping, Adam and the average.
public struct TrainingStep {
  public var config = UNetVariant.small
  /// Samples on one device.
  public var batch = 4
  private let side = 8

  /// Of the small network.
  public init() {}

  /// Inputs `x0` (N, 3, 8, 8), `t` (N), `counters` (N, 2), `key` (2), and Adam's; outputs `loss`, `norm` and `losses` (N).
  public func program() throws -> Program {
    let builder = GraphBuilder()
    let unet = try UNet(config, in: builder)
    let x0 = builder.input("x0", [batch, config.inChannels, side, side])
    let (counters, key) = (builder.input("counters", [batch, 2], .int32), builder.input("key", [2], .int32))
    let ε = Tensor.gaussianNoise(
      sample: [config.inChannels, side, side], counters: counters, key: key, stream: RandomStream.trainingNoise.rawValue
    )
    let predicted = unet(
      sample: 0.8 * x0 + 0.6 * ε, timestep: builder.input("t", [batch]),
      dropout: config.dropout > 0 ? DropoutSource(counters: counters, key: key) : nil)
    let losses = (ε - predicted).squared().mean([1, 2, 3])
    builder.output("losses", losses)
    let loss = losses.mean()
    builder.output("loss", loss.allReducedMean())
    let gradients = builder.gradients(of: loss, withRespectTo: unet.trained.map(\.tensor)).map { $0.allReducedMean() }
    let norm = builder.optimize(
      unet.trained.map { ($0.parameter.name, $0.tensor) }, gradients: gradients, with: Adam(), clipNorm: 1)
    builder.output("norm", norm)
    return try builder.finish()
  }

  /// Writes first weights.
  public func start(_ states: any States) throws {
    for (index, parameter) in try config.parameters().enumerated() {
      try states.write(parameter.name, WeightInitialization.diffusers.value(of: parameter, index: index, seed: 1))
    }
  }

  /// The inputs of step k = 1, 2, … for `count` samples.
  public func inputs(step: Int, count: Int) -> [String: TensorData] {
    let pixels = (0..<count * config.inChannels * side * side).map { i -> Float in
      let mixed: Int = (i &* 2_654_435_761 &+ step &* 40_503) & 0xFFFF
      return Float(mixed) / 32_768 - 1
    }
    let inputs = [
      "x0": TensorData(pixels, shape: [count, config.inChannels, side, side]),
      "t": TensorData((0..<count).map { Float(($0 * 271 + step * 37) % 1000) }, shape: [count]),
      "counters": TensorData((0..<count).flatMap { [Int32($0), Int32(step)] }, shape: [count, 2]),
      "key": TensorData([Int32(7), -9], shape: [2]),
    ]
    return inputs.merging(Adam().inputs(.init(step: step, learningRate: 1e-3, emaDecay: 0.99))) { first, _ in first }
  }

  /// The losses and gradient norms of the first steps, from first weights.
  public func train(
    _ executable: any Executable, steps: Int, count: Int? = nil
  ) throws -> (losses: [Double], norms: [Double]) {
    try start(executable.states)
    var result: (losses: [Double], norms: [Double]) = ([], [])
    for step in 1...steps {
      let outputs = try executable.run(inputs(step: step, count: count ?? batch))
      result.losses += outputs["loss"]?.floats.map(Double.init) ?? []
      result.norms += outputs["norm"]?.floats.map(Double.init) ?? []
    }
    return result
  }
}
