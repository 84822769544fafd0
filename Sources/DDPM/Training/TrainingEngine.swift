import Diffusers
import Diffusion
import Networks
import TensorGraph

/// The compiled training step: a batch goes in, the states move on.
public final class TrainingEngine {
  /// What came of one step.
  public struct Result: Sendable {
    /// The mean over the batch, with the weights of importance sampling.
    public let loss: Double
    /// Of each sample, before the weights of importance sampling.
    public let losses: [Float]
    /// ‖∇L‖ before it is clipped.
    public let gradientNorm: Double
  }

  /// A step that was sent. On an accelerator it may be under way still.
  public struct Pending {
    /// Of each part of the batch.
    fileprivate let outputs: [[String: any DeviceTensor]]
    fileprivate let gradientNorm: (any DeviceTensor)?

    /// Waits for the step.
    public func result() throws -> Result {
      let loss = try outputs.reduce(0.0) { sum, part in
        sum + Double(try part["loss"]?.data().floats.first ?? .nan) / Double(outputs.count)
      }
      return Result(
        loss: loss, losses: try outputs.flatMap { try $0["losses"]?.data().floats ?? [] },
        gradientNorm: Double(try gradientNorm?.data().floats.first ?? .nan))
    }
  }

  /// One batch, all of it.
  public struct Batch: Sendable {
    /// (N, C, H, W).
    public var x0: [Float]
    /// Of each sample.
    public var t: [Timestep]
    /// Of each sample's loss: 1 unless t was drawn by importance.
    public var weights: [Float]
    /// The number of the first sample since the start of the run.
    public var first: Int
    /// What the network is told of the samples.
    public var condition: Condition
    /// ε (N, C, H, W), for a program that takes it.
    public var noise: [Float]?

    /// A batch; weights are 1 unless given.
    public init(
      x0: [Float], t: [Timestep], weights: [Float]? = nil, first: Int = 0, condition: Condition = .none,
      noise: [Float]? = nil
    ) {
      self.x0 = x0
      self.t = t
      self.weights = weights ?? [Float](repeating: 1, count: t.count)
      self.first = first
      self.condition = condition
      self.noise = noise
    }
  }

  /// What is compiled.
  public let program: TrainingProgram
  /// What the condition means.
  public let card: ModelCard
  /// Parameters, moments and average.
  public let states: any States
  /// With several parts it is the one that accumulates.
  public let executable: any Executable
  /// Updates from the accumulated gradient.
  private let applying: (any Executable)?
  private let key: TensorData
  /// Whether a step that was sent computes while the next is prepared.
  public let isAsynchronous: Bool

  /// - Throws: `ProgramError` or `ExecutionError`, before any memory is taken where it would not fit.
  public init(
    _ program: TrainingProgram, card: ModelCard = ModelCard(), seed: UInt64, on backend: any Backend
  ) throws {
    var program = program
    program.devices = backend.deviceCount
    self.program = program
    self.card = card
    isAsynchronous = backend.isAsynchronous
    key = .key(seed: seed)
    if program.parts == 1 {
      let step = try program.step()
      states = try backend.makeStates(for: [step])
      executable = try backend.compile(step, states: states)
      applying = nil
    } else {
      let (accumulate, apply) = (try program.accumulate(), try program.apply())
      states = try backend.makeStates(for: [accumulate, apply])
      applying = try backend.compile(apply, states: states)
      executable = try backend.compile(accumulate, states: states)
    }
  }

  /// Of all that a step runs, known before the first.
  public var memoryPlan: MemoryPlan {
    applying.map { $0.memoryPlan.with(executable.memoryPlan) } ?? executable.memoryPlan
  }

  /// Starts from `weights`: moments zero, the average equal to them.
  public func start(from weights: NetworkWeights) throws {
    try weights.load(into: states, prefixes: ["", StateName.ema])
  }

  /// One step of the recipe.
  public func step(_ batch: Batch, _ schedule: Adam.Step) throws -> Result { try send(batch, schedule).result() }

  /// Begins a step. Steps that are sent follow each other: states are read as they are after the last.
  public func send(_ batch: Batch, _ schedule: Adam.Step) throws -> Pending {
    let size = program.batchSize
    precondition(
      batch.t.count == size * program.parts, "\(batch.t.count) samples for \(program.parts) parts of \(size)")
    let update = program.adam.inputs(schedule)
    let rows = try program.network.rows(of: batch.condition, card)

    var outputs: [[String: any DeviceTensor]] = []
    for part in 0..<program.parts {
      var inputs = inputs(of: batch, rows, samples: part * size..<(part + 1) * size, step: schedule.step)
      if applying != nil { inputs["keep"] = TensorData(part == 0 ? 0 : 1) } else { inputs.merge(update) { $1 } }
      outputs.append(try executable.run(onDevice: inputs))
    }
    let last = try applying?.run(onDevice: update) ?? outputs.last
    return Pending(outputs: outputs, gradientNorm: last?["gradient_norm"])
  }

  private func inputs(of batch: Batch, _ rows: [Int32]?, samples: Range<Int>, step: Int) -> [String: TensorData] {
    let (n, size) = (samples.count, program.size)
    func part(_ floats: [Float], _ channels: Int) -> TensorData {
      let dimension = channels * size.height * size.width
      let all = floats.count == n * dimension
      return TensorData(
        all ? floats : Array(floats[samples.lowerBound * dimension..<samples.upperBound * dimension]),
        shape: [n, channels, size.height, size.width])
    }
    let channels = program.network.channels
    var inputs = [
      "x0": part(batch.x0, channels),
      "timestep": TensorData(batch.t[samples].map { Int32($0.number) }, shape: [n]),
      "loss_weight": TensorData(Array(batch.weights[samples]), shape: [n]),
      "counters": .counters(samples.map { (batch.first + $0, step) }),
      "key": key,
    ]
    if let rows { inputs["class_labels"] = TensorData(Array(rows[samples]), shape: [n]) }
    if let pictures = batch.condition.pictures { inputs["pictures"] = part(pictures.scalars, pictures.shape.channels) }
    if let noise = batch.noise { inputs["noise"] = part(noise, channels) }
    // Only what the program uses: without dropout and with given noise nothing is random.
    let declared = Set(executable.program.inputs.map(\.name))
    return inputs.filter { declared.contains($0.key) }
  }
}
