import Networks
import Ranks
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The update of the weights by all ranks: each sums the gradients of its own parameters, updates them, and tells the others.
///
/// ```
/// g_i = Σ over the tree of the parts' ∇_θi L       every rank sends its sums to the parameter's owner
/// ‖g‖² = Σ_i ‖g_i‖²                                the owner of each says ‖g_i‖²
/// θ_i ← Adam(θ_i, g_i)                             on its owner, who sends it to all
/// ```
///
/// A rank sends and receives (N−1)/N of the gradient, and as much of the weights: no way of doing it takes less. What is added to what, and
/// in which order, is the tree's alone.
final class ShardedUpdate {
  /// What all ranks know of a step.
  struct Gathered {
    /// Of each part.
    let means: [Float]
    /// Of each sample.
    let losses: [Float]
    let times: RankTimes
  }

  let squaring: any Executable
  /// The states of all ranks, as the first sees them.
  let all: ClusterStates
  private let ranks: any Communicator
  private let reduction: Reduction
  private let tree: SumTree
  private let batchSize: Int
  private let shards: Shards
  private let turns: [[[Int]]]
  private let states: any States
  private let applying: any Executable
  /// The sums that this rank has made in this step; nil for one that is still where it was made.
  private var sums: [(node: Range<Int>, gradients: [TensorData]?)] = []
  private var began = 0.0
  /// When the first steps exchanged what, in seconds of the monotonic clock.
  private(set) var exchanges: [(label: String, start: Double, end: Double)] = []

  init(
    ranks: any Communicator, reduction: Reduction, tree: SumTree, batchSize: Int, shards: Shards, states: any States,
    squaring: any Executable, applying: any Executable
  ) {
    self.ranks = ranks
    self.reduction = reduction
    self.tree = tree
    self.batchSize = batchSize
    self.shards = shards
    turns = shards.turns()
    self.states = states
    self.squaring = squaring
    self.applying = applying
    all = ClusterStates(states, shards, ranks)
  }

  private var owned: [Int] { shards.owned[ranks.rank] }
  private func nodes(ofRank rank: Int) -> [Range<Int>] {
    tree.nodes(within: tree.share(ofRank: rank, of: ranks.count))
  }

  /// The sums that have to wait for the exchange, and what is sent, received and added in its largest turn.
  var hostByteCount: Int {
    let nodes = nodes(ofRank: ranks.rank).count
    let waiting = nodes > 1 || reduction == .fast ? nodes * shards.parameters.reduce(0) { $0 + $1.shape.count } : 0
    let received = (0..<ranks.count).reduce(0) { $0 + self.nodes(ofRank: $1).count }
    let largest = turns.flatMap { $0 }.map(shards.size(of:)).max() ?? 0
    return (waiting + (received + nodes + 1) * largest) * MemoryLayout<Float>.stride
  }

  /// A step begins.
  func begin() {
    sums = []
    began = Self.now
  }

  /// The sum of a node is in `accumulated`; it is copied where another will take its place.
  func take(_ node: Range<Int>) throws {
    let isOnly = nodes(ofRank: ranks.rank).count == 1
    sums.append((node, isOnly ? nil : try read(Array(shards.parameters.indices))))
  }

  private func read(_ indices: [Int]) throws -> [TensorData] {
    try states.read(indices.map { StateName.accumulated(shards.parameters[$0].name) })
  }

  /// Sums, updates, tells.
  ///
  /// - Parameter losses: of the parts that were computed here.
  func finish(
    _ losses: (means: [Float], samples: [Float]), _ update: [String: TensorData]
  ) throws -> (gradientNorm: (any DeviceTensor)?, gathered: Gathered) {
    let computed = Self.now
    if reduction == .fast {
      try write(owned, try sumInAnyOrder(), StateName.accumulated)
    } else {
      for turn in turns { try write(turn[ranks.rank], sum(turn), StateName.accumulated) }
    }
    sums = []
    let reduced = Self.now
    let squares = try squaring.run(onDevice: [:])["squares"]?.data().floats ?? []
    let (inputs, gathered) = try gather(squares, losses, computing: computed - began)
    let norm = try applying.run(onDevice: update.merging(inputs) { $1 })["gradient_norm"]
    let updated = Self.now
    try tellWeights()
    let told = Self.now
    if exchanges.count < 200 {
      exchanges += [("sum gradients of ranks", computed, reduced), ("tell weights to ranks", updated, told)]
    }
    let times = RankTimes(
      computing: gathered.times, communicating: reduced - computed + told - updated)
    return (norm, Gathered(means: gathered.means, losses: gathered.losses, times: times))
  }

  /// The sum over all parts of this rank's parameters in a turn.
  private func sum(_ turn: [[Int]]) throws -> [Float] {
    var known: [Range<Int>: [Float]] = [:]
    for sum in sums { known[sum.node] = try pick(sum, turn[ranks.rank]) }
    let size = shards.size(of: turn[ranks.rank])
    for (target, source) in ranks.partners {
      let theirs = nodes(ofRank: source)
      let sent = try sums.flatMap { try pick($0, turn[target]) }
      let received = try exchange(sent, to: target, theirs.count * size, from: source)
      for (i, node) in theirs.enumerated() { known[node] = Array(received[i * size..<(i + 1) * size]) }
    }
    return tree.sum({ known[$0] }, adding: Self.add)
  }

  /// The gradients of some parameters in a sum, one after the other.
  private func pick(_ sum: (node: Range<Int>, gradients: [TensorData]?), _ indices: [Int]) throws -> [Float] {
    try (sum.gradients.map { gradients in indices.map { gradients[$0] } } ?? read(indices)).flatMap(\.floats)
  }

  /// The same for all of its parameters, by the ranks' own way of adding.
  private func sumInAnyOrder() throws -> [Float] {
    let order = shards.owned.flatMap { $0 }
    let whole = try sums.map { try pick($0, order) }
    guard let first = whole.first else { return [] }
    return try ranks.sumScattered(
      whole.dropFirst().reduce(first, Self.add), counts: (0..<ranks.count).map(shards.size(ofRank:)))
  }

  /// Gives some parameters' states their numbers, one after the other.
  private func write(_ indices: [Int], _ floats: [Float], _ name: (String) -> String = { $0 }) throws {
    var start = 0
    for parameter in indices.map({ shards.parameters[$0] }) {
      let end = start + parameter.shape.count
      try states.write(name(parameter.name), TensorData(Array(floats[start..<end]), shape: parameter.shape))
      start = end
    }
  }

  /// What every rank has to know to go on: one message of each to all.
  private func gather(
    _ squares: [Float], _ losses: (means: [Float], samples: [Float]), computing: Double
  ) throws -> (inputs: [String: TensorData], (means: [Float], losses: [Float], times: [Double])) {
    func room(_ rank: Int) -> Int {
      shards.owned[rank].count + tree.share(ofRank: rank, of: ranks.count).count * (1 + batchSize) + 1
    }
    let most = (0..<ranks.count).map(room).max() ?? 0
    let gathered = try ranks.gather([Float(computing)] + squares + losses.means + losses.samples, most: most)
    var all = [Float](repeating: 0, count: shards.parameters.count)
    var (means, samples) = ([Float](), [Float]())
    for (rank, numbers) in gathered.enumerated() {
      var rest = numbers.dropFirst()
      func take(_ count: Int) -> ArraySlice<Float> {
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
      }
      for (index, square) in zip(shards.owned[rank], take(shards.owned[rank].count)) { all[index] = square }
      let parts = tree.share(ofRank: rank, of: ranks.count).count
      means += take(parts)
      samples += take(parts * batchSize)
    }
    let inputs = ["squares": TensorData(all, shape: [all.count])]
    return (inputs, (means, samples, gathered.map { Double($0[0]) }))
  }

  /// Every rank gets the weights that the others have updated.
  private func tellWeights() throws {
    for turn in turns {
      let own = try states.read(turn[ranks.rank].map { shards.parameters[$0].name }).flatMap(\.floats)
      for (target, source) in ranks.partners {
        try write(turn[source], exchange(own, to: target, shards.size(of: turn[source]), from: source))
      }
    }
  }

  private func exchange(_ sent: [Float], to target: Int, _ count: Int, from source: Int) throws -> [Float] {
    try [Float](unsafeUninitializedCapacity: count) { received, filled in
      let room = UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: received[..<count]))
      try sent.withUnsafeBytes { try ranks.exchange($0, to: target, room, from: source) }
      filled = count
    }
  }

  private static func add(_ a: [Float], _ b: [Float]) -> [Float] {
    [Float](unsafeUninitializedCapacity: a.count) { sum, count in
      for i in 0..<a.count { sum[i] = a[i] + b[i] }
      count = a.count
    }
  }

  private static var now: Double { ProcessInfo.processInfo.systemUptime }
}

/// How long one step took the ranks.
struct RankTimes: Sendable {
  /// Seconds in which each rank computed its parts.
  let computing: [Double]
  /// Seconds in which this one sent, received and waited for the slowest.
  let communicating: Double
}
