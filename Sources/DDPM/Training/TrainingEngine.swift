import Diffusers
import Diffusion
import Networks
import TensorGraph

/// The compiled training step: a batch goes in, the states move on.
public final class TrainingEngine {
  /// What came of one step.
  public struct Result: Sendable {
    public let loss: Double
    /// Of each sample, before the weights of importance sampling.
    public let losses: [Float]
    public let gradientNorm: Double
  }

  /// One step's numbers from the recipe.
  public typealias Schedule = Adam.Step

  /// One batch, all of it.
  public struct Batch: Sendable {
    /// (N, C, H, W) in [−1, 1].
    public var x0: [Float]
    public var t: [Timestep]
    public var weights: [Float]
    /// The number of the first sample since the start of the run.
    public var first: Int
    public var labels: [Int32]
    /// ε (N, C, H, W), for a program that takes it.
    public var noise: [Float]?

    public init(
      x0: [Float], t: [Timestep], weights: [Float]? = nil, first: Int = 0, labels: [Int32] = [], noise: [Float]? = nil
    ) {
      self.x0 = x0
      self.t = t
      self.weights = weights ?? [Float](repeating: 1, count: t.count)
      self.first = first
      self.labels = labels
      self.noise = noise
    }
  }

  public let program: TrainingProgram
  /// With several parts it is the one that accumulates.
  public let executable: any Executable
  /// Updates from the accumulated gradient.
  private let applying: (any Executable)?
  private let key: TensorData

  /// - Throws: `ProgramError` or `ExecutionError`, before any memory is taken where it would not fit.
  public init(_ program: TrainingProgram, seed: UInt64, on backend: any Backend) throws {
    self.program = program
    let words = Philox4x32.key(seed: seed)
    key = TensorData([Int32(bitPattern: words[0]), Int32(bitPattern: words[1])], shape: [2])
    if program.parts == 1 {
      executable = try backend.compile(program.step())
      applying = nil
    } else {
      let (apply, accumulate) = (try program.apply(), try program.accumulate())
      let states = try backend.makeStates(for: [apply, accumulate])
      applying = try backend.compile(apply, states: states)
      executable = try backend.compile(accumulate, states: states)
    }
  }

  /// Weights, moments and average.
  public var states: any States { executable.states }

  public var memoryPlan: MemoryPlan {
    applying.map { $0.memoryPlan.with(executable.memoryPlan) } ?? executable.memoryPlan
  }

  /// Starts from `weights`: moments zero, the average equal to them.
  public func start(from weights: NetworkWeights) throws {
    try weights.load(into: states)
    try weights.load(into: states, prefix: StateName.ema)
  }

  /// Starts from first weights drawn from `seed`, one parameter at a time.
  public func start(by initialization: WeightInitialization, seed: UInt64) throws {
    for (index, parameter) in try UNet.parameters(of: program.network).enumerated() {
      let value = initialization.value(of: parameter, index: index, seed: seed)
      for prefix in ["", StateName.ema] { try states.write(prefix + parameter.name, value) }
    }
  }

  /// One step of the recipe.
  public func step(_ batch: Batch, _ schedule: Schedule) throws -> Result {
    let size = program.batchSize
    precondition(
      batch.t.count == size * program.parts, "\(batch.t.count) samples for \(program.parts) parts of \(size)")
    let update = program.adam.inputs(schedule)

    var outputs: [String: TensorData] = [:]
    var losses: [Float] = []
    var loss = 0.0
    for part in 0..<program.parts {
      var inputs = inputs(of: batch, samples: part * size..<(part + 1) * size, step: schedule.step)
      if applying != nil { inputs["keep"] = TensorData(part == 0 ? 0 : 1) } else { inputs.merge(update) { $1 } }
      outputs = try executable.run(inputs)
      losses += outputs["losses"]?.floats ?? []
      loss += Double(outputs["loss"]?.floats.first ?? .nan) / Double(program.parts)
    }
    if let applying { outputs = try applying.run(update) }
    return Result(loss: loss, losses: losses, gradientNorm: Double(outputs["gradient_norm"]?.floats.first ?? .nan))
  }

  private func inputs(of batch: Batch, samples: Range<Int>, step: Int) -> [String: TensorData] {
    let (n, c, h, w) = (samples.count, program.network.inChannels, program.height, program.width)
    let dimension = c * h * w
    func part(_ floats: [Float]) -> [Float] {
      floats.count == n * dimension
        ? floats : Array(floats[samples.lowerBound * dimension..<samples.upperBound * dimension])
    }
    let counters = samples.flatMap { sample in
      [Int32(truncatingIfNeeded: batch.first + sample), Int32(truncatingIfNeeded: step)]
    }
    var inputs = [
      "x0": TensorData(part(batch.x0), shape: [n, c, h, w]),
      "timestep": TensorData(batch.t[samples].map { Int32($0.number) }, shape: [n]),
      "loss_weight": TensorData(Array(batch.weights[samples]), shape: [n]),
      "counters": TensorData(counters, shape: [n, 2]),
      "key": key,
    ]
    if program.network.classEmbedding != nil {
      inputs["class_labels"] = TensorData(Array(batch.labels[samples]), shape: [n])
    }
    if let noise = batch.noise { inputs["noise"] = TensorData(part(noise), shape: [n, c, h, w]) }
    // Only what the program uses: without dropout and with given noise nothing is random.
    let declared = Set(executable.program.inputs.map(\.name))
    return inputs.filter { declared.contains($0.key) }
  }
}
