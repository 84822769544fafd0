import Cases
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

let arguments = Array(CommandLine.arguments.dropFirst())
let words = arguments.first?.split(separator: "-") ?? []
guard (2...3).contains(arguments.count), words.count == 2, ["train", "denoise", "sample"].contains(words[0]),
  let work = Case(words[1], batch: arguments[1]),
  let precision = CPUBackend.Precision(rawValue: arguments.count > 2 ? arguments[2] : "float32")
else {
  say(
    "usage: ddpm-bench train-|denoise-|sample- followed by cifar10|mnist, BATCH and perhaps bfloat16", to: STDERR_FILENO
  )
  exit(2)
}
let (network, batch) = (work.network, work.batch)
let backend = CPUBackend(.init(precision: precision))
let schedule = try NoiseSchedule(.linear(), T: 1000)
let process = try ReverseProcess(schedule: schedule)

let unit: () throws -> Void
switch words[0] {
case "train":
  let engine = try TrainingEngine(
    TrainingProgram(
      network: network, process: process, objective: .squaredError(), adam: Adam(),
      gradientClip: 1, batchSize: batch, size: work.size),
    seed: 0, on: backend)
  try engine.start(from: NetworkWeights(initializing: network, by: .diffusers, seed: 0))
  let t = (0..<batch).map { Timestep(1 + $0 * 999 / batch) }
  let x0 = work.images.scalars
  var step = 0
  unit = {
    step += 1
    _ = try engine.step(
      .init(x0: x0, t: t, first: step * batch), .init(step: step, learningRate: 2e-4, emaDecay: 0.999))
  }
default:
  let states = try backend.makeStates(for: [network.evaluation(batchSize: batch, size: work.size)])
  try NetworkWeights(initializing: network, by: .diffusers, seed: 0).load(into: states)
  let denoiser = try NetworkDenoiser(network, batchSize: batch, size: work.size, on: backend, states: states)
  let xT = work.images
  if words[0] == "denoise" {
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
