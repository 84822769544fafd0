import DDPM
import Glibc

// One case of the benchmark as a small server, so that a driver can alternate between this program and its peer:
// it prints `ready`, then for each line on standard input does one unit of work and prints its milliseconds.
//
//   ddpm-bench train-cifar10 8        one training step: noise, forward, backward, clip, Adam, average
//   ddpm-bench denoise-cifar10 8      the network once
//   ddpm-bench sample-mnist 8         50 steps of DDIM (also sample-cifar10)
//
// A third argument is the precision: float32 or bfloat16.

WaitPolicy.restartIfUnset()

/// One line to a file descriptor, at once: the driver waits for it.
func say(_ line: String, to descriptor: Int32 = STDOUT_FILENO) {
  let bytes = Array("\(line)\n".utf8)
  _ = write(descriptor, bytes, bytes.count)
}

func milliseconds(_ body: () throws -> Void) rethrows -> Double {
  let clock = ContinuousClock()
  let time = try clock.measure(body).components
  return Double(time.seconds) * 1e3 + Double(time.attoseconds) * 1e-15
}

/// The 1.1-million-parameter network of the `mnist` preset.
var mnist: UNetConfig {
  var config = UNetConfig.paperCIFAR10
  config.sampleSize = .init(height: 28, width: 28)
  (config.inChannels, config.outChannels) = (1, 1)
  config.blockOutChannels = [32, 64, 64]
  config.layersPerBlock = 1
  config.downBlocks = [.plain, .plain, .attention]
  config.upBlocks = [.attention, .plain, .plain]
  return config
}

let arguments = CommandLine.arguments.dropFirst()
guard (2...3).contains(arguments.count), let name = arguments.first,
  let batch = arguments.dropFirst().first.flatMap({ Int($0) }), batch > 0,
  let precision = CPUBackend.Precision(rawValue: arguments.dropFirst(2).first ?? "float32")
else {
  say(
    "usage: ddpm-bench train-|denoise-|sample- followed by cifar10|mnist, BATCH and perhaps bfloat16", to: STDERR_FILENO
  )
  exit(2)
}
let isCIFAR = name.hasSuffix("cifar10")
let network = isCIFAR ? UNetConfig.paperCIFAR10 : mnist
let size = isCIFAR ? SampleSize(height: 32, width: 32) : .init(height: 28, width: 28)
let backend = CPUBackend(.init(precision: precision))
let schedule = try NoiseSchedule(.linear(), T: 1000)
let process = try ReverseProcess(schedule: schedule)
let shape = Images.Shape(batch, network.inChannels, size.height, size.width)
let images = (0..<shape.scalarCount).map { index in Float((index &* 2_654_435_761) & 0xffff) / 32_768 - 1 }

let unit: () throws -> Void
switch name.prefix(while: { $0 != "-" }) {
case "train":
  let engine = try TrainingEngine(
    TrainingProgram(
      network: network, process: process, objective: .squaredError(), adam: Adam(),
      gradientClip: 1, batchSize: batch, size: size),
    seed: 0, on: backend)
  try engine.start(from: NetworkWeights(initializing: network, by: .diffusers, seed: 0))
  let t = (0..<batch).map { Timestep(1 + $0 * 999 / batch) }
  var step = 0
  unit = {
    step += 1
    _ = try engine.step(
      .init(x0: images, t: t, first: step * batch), .init(step: step, learningRate: 2e-4, emaDecay: 0.999))
  }
default:
  let states = try backend.makeStates(for: [network.evaluation(batchSize: batch, size: size)])
  try NetworkWeights(initializing: network, by: .diffusers, seed: 0).load(into: states)
  let denoiser = try NetworkDenoiser(network, batchSize: batch, size: size, on: backend, states: states)
  let xT = Images(shape: shape, scalars: images)
  if name.hasPrefix("denoise") {
    unit = { _ = try denoiser.predict(xT, at: [Timestep](repeating: 501, count: batch)) }
  } else {
    let timesteps = try TimestepSpacing.leading.timesteps(50, of: 1000)
    unit = {
      var noise = CounterNoise(seed: 0)
      _ = try DDIM().sample(
        shape: xT.shape, timesteps: timesteps, process: process, denoiser: denoiser, noise: &noise, start: xT)
    }
  }
}

try unit()
say("ready")
while let line = readLine(), line != "quit" { say("\(try milliseconds(unit))") }
