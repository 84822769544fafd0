import Diffusers
import Diffusion
import Networks
import Ranks
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
    /// How long the ranks took, where there are several.
    let times: RankTimes?
  }

  /// A step that was sent. On an accelerator it may be under way still.
  public struct Pending {
    /// Of each part of the batch that was computed here.
    fileprivate let outputs: [[String: any DeviceTensor]]
    fileprivate let gradientNorm: (any DeviceTensor)?
    /// Where others computed some of the batch: of all its parts.
    fileprivate let gathered: ShardedUpdate.Gathered?
    /// Brings together what the devices of all ranks give of their own rows.
    fileprivate let join: ([Float]) throws -> [Float]

    /// Waits for the step.
    public func result() throws -> Result {
      var (means, losses) = try gathered.map { ($0.means, $0.losses) } ?? TrainingEngine.losses(outputs)
      losses = try join(losses)
      return Result(
        loss: means.reduce(0.0) { $0 + Double($1) / Double(means.count) }, losses: losses,
        gradientNorm: Double(try gradientNorm?.data().floats.first ?? .nan), times: gathered?.times)
    }
  }

  /// One batch: all of it, or what this rank computes.
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
  /// Adds sums of parts to each other.
  private let folds: [SumTree.Fold: any Executable]
  /// Updates from the accumulated gradient.
  private let applying: (any Executable)?
  /// Does it together with the other ranks.
  private let sharded: ShardedUpdate?
  /// Who computes the batches together.
  private let ranks: any Communicator
  /// Whether their devices share each part; otherwise each computes its own parts.
  private let sharesParts: Bool
  /// The parts of a batch that are computed here.
  private let parts: Range<Int>
  /// The same, as the largest sums that can be made of them.
  private let nodes: [Range<Int>]
  private let key: TensorData
  /// Whether a step that was sent computes while the next is prepared.
  public let isAsynchronous: Bool

  /// - Parameters:
  ///   - ranks: who computes the batch's parts together; no more than there are parts.
  ///   - reduction: how they add what they computed.
  /// - Throws: `ProgramError` or `ExecutionError`, before any memory is taken where it would not fit.
  public init(
    _ program: TrainingProgram, card: ModelCard = ModelCard(), seed: UInt64, ranks: any Communicator = Alone(),
    reduction: Reduction = .exact, on backend: any Backend
  ) throws {
    var program = program
    program.devices = backend.deviceCount
    self.program = program
    self.card = card
    isAsynchronous = backend.isAsynchronous
    key = .key(seed: seed)
    let tree = SumTree(parts: program.parts)
    self.ranks = ranks
    sharesParts = backend.processCount > 1
    let owners: any Communicator = sharesParts ? Alone() : ranks
    parts = tree.share(ofRank: owners.rank, of: owners.count)
    nodes = tree.nodes(within: parts)
    guard program.parts > 1 else {
      let step = try program.step()
      states = try backend.makeStates(for: [step])
      executable = try backend.compile(step, states: states)
      (folds, applying, sharded) = ([:], nil, nil)
      return
    }
    var folding: [SumTree.Fold: Program] = [:]
    for case .fold(let fold) in Set(nodes.flatMap(SumTree.steps)) { folding[fold] = try program.fold(fold) }
    let shards = owners.isShared ? try Shards(of: program.network.parameters(), among: owners.count) : nil
    let share = shards?.owned[owners.rank]
    let (accumulate, apply) = (try program.accumulate(), try program.apply(share: share))
    let squares = try share.map { try program.squares(of: $0) }
    states = try backend.makeStates(for: [accumulate, apply] + folding.values + [squares].compactMap { $0 })
    let states = states
    applying = try backend.compile(apply, states: states)
    folds = try folding.mapValues { try backend.compile($0, states: states) }
    if let shards, let squares, let applying {
      sharded = ShardedUpdate(
        ranks: ranks, reduction: reduction, tree: tree, batchSize: program.batchSize, shards: shards, states: states,
        squaring: try backend.compile(squares, states: states), applying: applying)
    } else {
      sharded = nil
    }
    executable = try backend.compile(accumulate, states: states)
  }

  /// Of all that a step runs here, known before the first.
  public var memoryPlan: MemoryPlan {
    let others =
      folds.values.map(\.memoryPlan) + [applying?.memoryPlan, sharded?.squaring.memoryPlan].compactMap { $0 }
    return others.reduce(executable.memoryPlan) { $0.with($1) }
  }

  /// What the exchange with other ranks holds on the host; 0 where there are none.
  var exchangedByteCount: Int { sharded?.hostByteCount ?? 0 }

  /// What the first steps exchanged with other ranks, and when, in seconds of the monotonic clock.
  package var exchanges: [(label: String, start: Double, end: Double)] { sharded?.exchanges ?? [] }

  /// Starts from `weights`: moments zero, the average equal to them.
  public func start(from weights: NetworkWeights) throws {
    try weights.load(into: states, prefixes: ["", StateName.ema], where: holds)
  }

  /// The samples of a batch that are computed here.
  var samples: Range<Int> {
    guard !sharesParts else {
      return Range(shareOf: program.parts * program.batchSize, rank: ranks.rank, of: ranks.count)
    }
    return parts.lowerBound * program.batchSize..<parts.upperBound * program.batchSize
  }

  /// Whether a state is here, not on another rank.
  func holds(_ state: String) -> Bool { sharded == nil || states.types[state] != nil }

  /// Does on the first rank what needs the states of all, and helps it on the others.
  func onFirst(_ body: (any States) throws -> Void) throws {
    if let sharded { try sharded.all.onFirst(body) } else if ranks.isFirst { try body(states) }
  }

  /// One step of the recipe.
  public func step(_ batch: Batch, _ schedule: Adam.Step) throws -> Result { try send(batch, schedule).result() }

  /// Begins a step. Steps that are sent follow each other: states are read as they are after the last.
  public func send(_ batch: Batch, _ schedule: Adam.Step) throws -> Pending {
    precondition(batch.t.count == samples.count, "\(batch.t.count) samples for \(samples.count)")
    let size = samples.count / parts.count
    let update = program.adam.inputs(schedule)
    let rows = try program.network.rows(of: batch.condition, card)

    var outputs: [[String: any DeviceTensor]] = []
    func compute(_ part: Int, _ more: [String: TensorData]) throws {
      let place = part - parts.lowerBound
      let inputs = inputs(of: batch, rows, samples: place * size..<(place + 1) * size, step: schedule.step)
      outputs.append(try executable.run(onDevice: inputs.merging(more) { $1 }))
    }
    guard let applying else {
      try compute(0, update)
      return Pending(outputs: outputs, gradientNorm: outputs.last?["gradient_norm"], gathered: nil, join: joined)
    }
    sharded?.begin()
    for node in nodes {
      for step in SumTree.steps(of: node) {
        switch step {
        case .part(let part, let keeps): try compute(part, ["keep": TensorData(keeps ? 1 : 0)])
        case .fold(let fold): _ = try folds[fold]?.run(onDevice: [:])
        }
      }
      try sharded?.take(node)
    }
    guard let sharded else {
      return Pending(
        outputs: outputs, gradientNorm: try applying.run(onDevice: update)["gradient_norm"], gathered: nil, join: joined
      )
    }
    let (norm, gathered) = try sharded.finish(Self.losses(outputs), update)
    return Pending(outputs: outputs, gradientNorm: norm, gathered: gathered, join: joined)
  }

  /// The losses of all samples, where each rank has those of its own rows.
  private func joined(_ losses: [Float]) throws -> [Float] {
    sharesParts ? try ranks.gather(losses, most: losses.count).flatMap { $0 } : losses
  }

  /// The mean of each part, and the loss of each sample.
  private static func losses(_ outputs: [[String: any DeviceTensor]]) throws -> (means: [Float], samples: [Float]) {
    (
      try outputs.map { try $0["loss"]?.data().floats.first ?? .nan },
      try outputs.flatMap { try $0["losses"]?.data().floats ?? [] }
    )
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
