// From a noise schedule to an image: Ho et al. 2020, algorithms 1 and 2, on the embedded characters.
//
//   swift run -c release --package-path Examples/Minimal

import DDPM
import Foundation

// The forward process: β_t from 1e-4 to 0.02 in T = 1000 steps.
let schedule = try NoiseSchedule(.linear(), T: 1000)
let process = try ReverseProcess(schedule: schedule, variance: .fixedLarge)

// ε_θ(x_t, t): a small U-Net.
var config = UNetConfig.paperCIFAR10
(config.inChannels, config.outChannels) = (1, 1)
config.blockOutChannels = [32, 64, 64]
config.layersPerBlock = 1
config.downBlocks = [.plain, .plain, .attention]
config.upBlocks = [.attention, .plain, .plain]

// Algorithm 1 as one graph: x_t, the prediction, L_simple, its gradient, Adam.
let (n, side) = (32, 28)
let builder = GraphBuilder()
let unet = try UNet(config, in: builder)
let x0 = builder.input("x0", [n, 1, side, side])
let ε = builder.input("noise", x0.shape)
let t = builder.input("timestep", [n], .int32)

let graph = ProcessGraph(process, t: t)
let xt = graph.noised(x0, epsilon: ε)  // √ᾱ_t x_0 + √(1−ᾱ_t) ε
let loss = unet(sample: xt, timestep: graph.zeroBased).meanSquaredError(ε)  // ‖ε − ε_θ(x_t, t)‖²
builder.output("loss", loss)

let adam = Adam()
let parameters = unet.parameters.map { (name: $0.parameter.name, tensor: $0.tensor) }
let gradients = builder.gradients(of: loss, withRespectTo: parameters.map(\.tensor))
builder.optimize(parameters, gradients: gradients, with: adam)

let backend = CPUBackend()
let training = try backend.compile(builder.finish())
let weights = try NetworkWeights(initializing: config, by: .ddpm, seed: 0)
try weights.load(into: training.states, prefixes: ["", "ema."])

let loader = try BatchLoader(Dataset.open("glyphs"), batchSize: n, seed: 0)
var random = SystemRandomNumberGenerator()
for step in 1...400 {
  let k = Double(step)
  let noise = CounterNoise(seed: 1, firstSample: step * n).initialNoise(shape: .init(n, 1, side, side))
  var inputs = adam.inputs(.init(step: step, learningRate: 1e-3, emaDecay: min(0.995, (1 + k) / (10 + k))))
  inputs["x0"] = TensorData(try loader.next().x0, shape: x0.shape)
  inputs["noise"] = TensorData(noise.scalars, shape: x0.shape)
  inputs["timestep"] = TensorData((0..<n).map { _ in Int32.random(in: 1...1000, using: &random) }, shape: [n])
  let result = try training.run(inputs)
  if step % 50 == 0 { print("step \(step)  loss \(result["loss"]?.floats[0] ?? .nan)") }
}

// Algorithm 2, with the averaged weights.
let denoiser = try NetworkDenoiser(
  config, batchSize: 16, size: .init(height: side, width: side), on: backend, states: training.states, prefix: "ema.")
var noise = CounterNoise(seed: 2)
let samples = try Ancestral().sample(
  shape: .init(16, 1, side, side), timesteps: schedule.timesteps.reversed(), process: process, denoiser: denoiser,
  noise: &noise)
try ImageGrid(columns: 4, magnification: 4).picture(of: samples.pictures).writePNG(to: URL(filePath: "minimal.png"))
print("wrote minimal.png")
