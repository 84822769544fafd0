import Cases
import DDPM
import Foundation
import XLABackend

// Accelerators beside the processor, on the product's own programs. Prints rows of Markdown tables.
//
//   xla-check devices                               what was found
//   xla-check emit NETWORK BATCH PRECISION FILE     the training step as StableHLO
//   xla-check train NETWORK BATCH STEPS DEVICE…     compile seconds, the memory plan, milliseconds a step, the first and last losses
//   xla-check repeat NETWORK BATCH STEPS DEVICE…    two runs bit for bit
//   xla-check sample NETWORK BATCH STEPS DEVICE…    DDIM with x on the device
//
// NETWORK: cifar10 (the paper's) or mnist. DEVICE: cpu, or cuda, tpu, xla-cpu, xla:FILE, followed by a precision where it is not
// float32, and by `repeatable`: cuda,bfloat16,repeatable. CACHE=FOLDER keeps compiled programs.

WaitPolicy.restartIfUnset()

func seconds(_ body: () throws -> Void) rethrows -> Double {
  let time = try ContinuousClock().measure(body).components
  return Double(time.seconds) + Double(time.attoseconds) * 1e-18
}

func rounded(_ x: Double, _ digits: Int = 4) -> String { String(format: "%.\(digits)g", x) }

/// At once, whoever reads.
func say(_ line: String) {
  print(line)
  fflush(nil)
}

struct Usage: Error, CustomStringConvertible { let description: String }

func backend(_ name: String) throws -> any Backend {
  if name == "cpu" { return CPUBackend() }
  let parts = name.split(separator: ",").map(String.init)
  let isRepeatable = parts.last == "repeatable"
  let words = parts.dropFirst().prefix(parts.count - (isRepeatable ? 2 : 1))
  guard let precision = words.first.map(XLAPrecision.init(rawValue:)) ?? .float32 else {
    throw Usage(description: "precision \(words[1]): choose \(XLAPrecision.allCases.map(\.rawValue))")
  }
  let folder = getenv("CACHE").map { URL(filePath: String(cString: $0)) }
  return try XLABackend(device: parts[0], precision: precision, isRepeatable: isRepeatable, cacheFolder: folder)
}

func named(_ name: String, _ batch: String) throws -> Case {
  guard let work = Case(name, batch: batch) else {
    throw Usage(description: "\(name) \(batch): choose cifar10 or mnist, and a positive number of samples")
  }
  return work
}

extension Case {
  var tensor: TensorData {
    TensorData(images.scalars, shape: [batch, network.inChannels, size.height, size.width])
  }

  func trainingStep() throws -> Program {
    let process = try ReverseProcess(schedule: NoiseSchedule(.linear(), T: 1000))
    return try TrainingProgram(
      network: network, process: process, objective: .squaredError(), adam: Adam(), gradientClip: 1, batchSize: batch,
      size: size
    ).step()
  }

  func inputs(step: Int) -> [String: TensorData] {
    [
      "x0": tensor,
      "timestep": TensorData((0..<batch).map { Int32(1 + ($0 * 999 / batch + step * 37) % 1000) }, shape: [batch]),
      "loss_weight": TensorData([Float](repeating: 1, count: batch), shape: [batch]),
      "counters": TensorData((0..<batch).flatMap { [Int32(step * batch + $0), Int32(step)] }, shape: [batch, 2]),
      "key": TensorData([Int32(7), 9], shape: [2]),
    ].merging(Adam().inputs(.init(step: step, learningRate: 2e-4, emaDecay: 0.999))) { $1 }
  }

  func weights() throws -> NetworkWeights { try NetworkWeights(initializing: network, by: .ddpm, seed: 0) }
}

/// Runs steps with one in flight: step k is sent before the loss of step k − 1 is read.
func train(_ work: Case, _ executable: any Executable, steps: Int) throws -> (losses: [Float], milliseconds: [Double]) {
  try work.weights().load(into: executable.states, prefixes: ["", Adam.StatePrefix.ema])
  var losses: [Float] = []
  var times: [Double] = []
  var pending: (any DeviceTensor)?
  for step in 1...steps {
    times.append(
      1e3
        * (try seconds {
          let outputs = try executable.run(onDevice: work.inputs(step: step))
          if let pending { losses += try pending.data().floats }
          pending = outputs["loss"]
        }))
  }
  if let pending { losses += try pending.data().floats }
  return (losses, times)
}

func run(_ arguments: [String]) throws {
  let usage = Usage(
    description: "usage: xla-check devices | emit | train | repeat | sample …; see the head of its source")
  guard let command = arguments.first else { throw usage }
  switch (command, arguments.count) {
  case ("devices", 1):
    for found in XLABackend.devices() {
      say("\(found.device): \(found.plugin ?? "none") \(found.version ?? "") \(found.devices) \(found.problem ?? "")")
      if found.plugin == nil { say("  looked at \(found.searched.joined(separator: ", ")); install: \(found.install)") }
    }

  case ("emit", 5):
    guard let precision = XLAPrecision(rawValue: arguments[3]) else { throw usage }
    let text = XLABackend.text(try named(arguments[1], arguments[2]).trainingStep(), precision: precision)
    try AtomicFile.write(text, to: URL(filePath: arguments[4]))
    say("\(text.utf8.count) bytes")

  case ("train", 5...):
    let work = try named(arguments[1], arguments[2])
    guard let steps = Int(arguments[3]), steps > 1 else { throw usage }
    say("| device | compile, s | plan, MiB | step, ms (least) | loss 1, \(steps) | norm of differences |")
    say("|---|---|---|---|---|---|")
    var first: [Float]?
    for name in arguments.dropFirst(4) {
      let made = try backend(name)
      var executable: (any Executable)?
      let compile = try seconds { executable = try made.compile(work.trainingStep()) }
      guard let executable else { return }
      let (losses, times) = try train(work, executable, steps: steps)
      let after = times.dropFirst(min(3, steps - 1)).sorted()
      let reference = first ?? losses
      first = reference
      let difference = zip(losses, reference).map { abs(Double($0 / $1 - 1)) }.max() ?? 0
      say(
        "| \(made.name)\((made as? XLABackend)?.isRepeatable == true ? ", repeatable" : "") | \(rounded(compile)) | \(executable.memoryPlan.total >> 20) | \(rounded(after[after.count / 2])) (\(rounded(after[0]))) | \(losses[0]), \(losses[steps - 1]) | \(rounded(difference, 2)) |"
      )
    }

  case ("repeat", 5...):
    let work = try named(arguments[1], arguments[2])
    guard let steps = Int(arguments[3]), steps > 0 else { throw usage }
    for name in arguments.dropFirst(4) {
      let made = try backend(name)
      let runs = try (0..<2).map { _ in
        let executable = try made.compile(work.trainingStep())
        let losses = try train(work, executable, steps: steps).losses
        return (losses, try executable.states.read("conv_in.weight"))
      }
      let isSame = runs[0].0 == runs[1].0 && runs[0].1 == runs[1].1
      say("\(name): two runs of \(steps) steps are \(isSame ? "the same, bit for bit" : "DIFFERENT")")
    }

  case ("sample", 5...):
    let work = try named(arguments[1], arguments[2])
    guard let steps = Int(arguments[3]), steps > 0 else { throw usage }
    say("| device | compile, s | DDIM \(steps), s | images/s |")
    say("|---|---|---|---|")
    for name in arguments.dropFirst(4) {
      let made = try backend(name)
      let network = try work.network.evaluation(batchSize: work.batch, size: work.size)
      let states = try made.makeStates(for: [network])
      try work.weights().load(into: states)
      var executables: [any Executable] = []
      let compile = try seconds {
        executables = [try made.compile(network, states: states), try made.compile(try ddimUpdate(work))]
      }
      _ = try sample(work, executables, steps: steps)
      let time = try seconds { _ = try sample(work, executables, steps: steps) }
      say("| \(made.name) | \(rounded(compile)) | \(rounded(time)) | \(rounded(Double(work.batch) / time)) |")
    }

  default: throw usage
  }
}

/// x̂_0 = clip((x_t − √(1−ᾱ_t) ε) / √ᾱ_t),  x_s = √ᾱ_s x̂_0 + √(1−ᾱ_s) ε, with ε of the clipped x̂_0.
func ddimUpdate(_ work: Case) throws -> Program {
  let builder = GraphBuilder()
  let x = builder.input("x", work.tensor.shape)
  let ε = builder.input("output", work.tensor.shape)
  let numbers = builder.input("numbers", [4])
  func number(_ i: Int) -> Tensor { numbers.sliced(axis: 0, i..<i + 1) }
  let x0 = ((x - number(1) * ε) / number(0)).clamped(to: -1...1)
  builder.output("x", number(2) * x0 + number(3) * ((x - number(0) * x0) / number(1)))
  return try builder.finish()
}

func sample(_ work: Case, _ executables: [any Executable], steps: Int) throws -> TensorData {
  let schedule = try NoiseSchedule(.linear(), T: 1000)
  let timesteps = try TimestepSpacing.leading.timesteps(steps, of: 1000)
  var x: any DeviceTensor = work.tensor
  for (t, s) in zip(timesteps, Array(timesteps.dropFirst()) + [.data]) {
    let given = TensorData([Float](repeating: Float(t.zeroBased), count: work.batch), shape: [work.batch])
    let numbers = [schedule.sqrtᾱ[t], schedule.sqrtOneMinusᾱ[t], schedule.sqrtᾱ[s], schedule.sqrtOneMinusᾱ[s]]
    let outputs = try executables[0].run(onDevice: ["sample": x, "timestep": given])
    guard let ε = outputs["output"] else { return try x.data() }
    x =
      try executables[1].run(onDevice: [
        "x": x, "output": ε, "numbers": TensorData(numbers.map(Float.init), shape: [4]),
      ])["x"] ?? x
  }
  return try x.data()
}

do { try run(Array(CommandLine.arguments.dropFirst())) } catch {
  say("xla-check: \(error)")
  exit(1)
}
