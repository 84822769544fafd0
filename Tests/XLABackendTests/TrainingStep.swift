import Networks
import TensorGraph
import TestSupport

/// A training step of a small U-Net as every backend can run it: noise, prediction, loss, gradients, clipping, Adam and the average.
struct TrainingStep {
  var config = UNetVariant.small
  /// Samples on one device.
  var batch = 4
  let side = 8

  /// Inputs `x0` (N, 3, 8, 8), `t` (N), `counters` (N, 2), `key` (2), `schedule` (5); outputs `loss`, `norm` and `losses` (N).
  func program() throws -> Program {
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
    builder.output("loss", loss)
    let gradients = builder.gradients(of: loss, withRespectTo: unet.trained.map(\.tensor))
    let norm = sumOfSquares(gradients).squareRoot()
    builder.output("norm", norm)
    let schedule = builder.input("schedule", [5])
    for ((parameter, tensor), gradient) in zip(unet.trained, gradients) {
      let names = ["m.", "v.", "ema."].map { $0 + parameter.name }
      let next = Adam().step(
        AdamState(
          parameter: tensor, m: builder.state(names[0], parameter.shape), v: builder.state(names[1], parameter.shape),
          ema: builder.state(names[2], parameter.shape)), gradient: gradient, schedule: schedule)
      for (name, value) in zip([parameter.name] + names, [next.parameter, next.m, next.v, next.ema]) {
        builder.update(name, value)
      }
    }
    return try builder.finish()
  }

  /// Writes first weights.
  func start(_ states: any States) throws {
    for (index, parameter) in try UNet.parameters(of: config).enumerated() {
      try states.write(parameter.name, WeightInitialization.diffusers.value(of: parameter, index: index, seed: 1))
    }
  }

  /// The inputs of step k = 1, 2, … for `count` samples.
  func inputs(step: Int, count: Int) -> [String: TensorData] {
    let pixels = (0..<count * config.inChannels * side * side).map { i in
      Float((i &* 2_654_435_761 &+ step &* 40_503) & 0xFFFF) / 32_768 - 1
    }
    let corrections = [0.9, 0.999].map { β in Float(1 - (0..<step).reduce(1.0) { power, _ in power * β }) }
    return [
      "x0": TensorData(pixels, shape: [count, config.inChannels, side, side]),
      "t": TensorData((0..<count).map { Float(($0 * 271 + step * 37) % 1000) }, shape: [count]),
      "counters": TensorData((0..<count).flatMap { [Int32($0), Int32(step)] }, shape: [count, 2]),
      "key": TensorData([Int32(7), -9], shape: [2]),
      "schedule": TensorData([1e-3] + corrections + [1, 0.99], shape: [5]),
    ]
  }

  /// The losses and gradient norms of the first steps, and the states after them.
  func train(
    on backend: some Backend, steps: Int, count: Int? = nil
  ) throws -> (losses: [Double], norms: [Double], states: any States) {
    let executable = try backend.compile(program())
    try start(executable.states)
    var (losses, norms): ([Double], [Double]) = ([], [])
    for step in 1...steps {
      let outputs = try executable.run(inputs(step: step, count: count ?? batch))
      losses += outputs["losses"].map { [$0.floats.reduce(0) { $0 + Double($1) } / Double($0.floats.count)] } ?? []
      norms += outputs["norm"].map { $0.floats.map(Double.init) } ?? []
    }
    return (losses, norms, executable.states)
  }
}
