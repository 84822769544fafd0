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
  private let states: any States
  private let applying: any Executable
  /// The sums that this rank has made in this step.
  private var sums: [(node: Range<Int>, gradients: [TensorData])] = []
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
    self.states = states
    self.squaring = squaring
    self.applying = applying
    all = ClusterStates(states, shards, ranks)
  }

  private var owned: [Int] { shards.owned[ranks.rank] }
  private func nodes(ofRank rank: Int) -> [Range<Int>] {
    tree.nodes(within: tree.share(ofRank: rank, of: ranks.count))
  }

  /// A gradient, what is sent of it, and the sums of all ranks for one's own parameters.
  var hostByteCount: Int {
    let whole = shards.parameters.reduce(0) { $0 + $1.shape.count } * nodes(ofRank: ranks.rank).count
    let own = shards.size(ofRank: ranks.rank)
    let received = (0..<ranks.count).reduce(0) { $0 + nodes(ofRank: $1).count * own }
    return (whole + received + own) * MemoryLayout<Float>.stride
  }

  /// A step begins.
  func begin() {
    sums = []
    began = Self.now
  }

  /// The sum of a node is in `accumulated`.
  func take(_ node: Range<Int>) throws {
    sums.append((node, try states.read(shards.parameters.map { StateName.accumulated($0.name) })))
  }

  /// Sums, updates, tells.
  ///
  /// - Parameter losses: of the parts that were computed here.
  func finish(
    _ losses: (means: [Float], samples: [Float]), _ update: [String: TensorData]
  ) throws -> (gradientNorm: (any DeviceTensor)?, gathered: Gathered) {
    let computed = Self.now
    try writeOwnGradients(
      reduction == .exact ? tree.sum(try sumsOfOwn(), adding: Self.add) : try sumInAnyOrder())
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

  /// The gradients of this rank's parameters, of each node that some rank has summed.
  private func sumsOfOwn() throws -> (Range<Int>) -> [Float]? {
    func pick(_ gradients: [TensorData], _ rank: Int) -> [Float] {
      var floats: [Float] = []
      floats.reserveCapacity(shards.size(ofRank: rank))
      for index in shards.owned[rank] { floats += gradients[index].floats }
      return floats
    }
    var known: [Range<Int>: [Float]] = [:]
    for (node, gradients) in sums { known[node] = pick(gradients, ranks.rank) }
    let size = shards.size(ofRank: ranks.rank)
    // In turn s everybody sends to the rank s further on, so that nobody is sent to by two.
    for s in 1..<ranks.count {
      let (target, source) = ((ranks.rank + s) % ranks.count, (ranks.rank + ranks.count - s) % ranks.count)
      let sent = sums.flatMap { pick($0.gradients, target) }
      let theirs = nodes(ofRank: source)
      let received = try exchange(sent, to: target, theirs.count * size, from: source)
      for (i, node) in theirs.enumerated() { known[node] = Array(received[i * size..<(i + 1) * size]) }
    }
    sums = []
    return { known[$0] }
  }

  /// The same by the ranks' own way of adding.
  private func sumInAnyOrder() throws -> [Float] {
    let order = shards.owned.flatMap { $0 }
    let whole = sums.map { sum in order.flatMap { sum.gradients[$0].floats } }
    sums = []
    guard let first = whole.first else { return [] }
    return try ranks.sumScattered(
      whole.dropFirst().reduce(first, Self.add), counts: (0..<ranks.count).map(shards.size(ofRank:)))
  }

  private func writeOwnGradients(_ floats: [Float]) throws {
    var start = 0
    for index in owned {
      let parameter = shards.parameters[index]
      let end = start + parameter.shape.count
      try states.write(
        StateName.accumulated(parameter.name), TensorData(Array(floats[start..<end]), shape: parameter.shape))
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
    let own = try states.read(owned.map { shards.parameters[$0].name }).flatMap(\.floats)
    for s in 1..<ranks.count {
      let (target, source) = ((ranks.rank + s) % ranks.count, (ranks.rank + ranks.count - s) % ranks.count)
      let floats = try exchange(own, to: target, shards.size(ofRank: source), from: source)
      var start = 0
      for index in shards.owned[source] {
        let parameter = shards.parameters[index]
        let end = start + parameter.shape.count
        try states.write(parameter.name, TensorData(Array(floats[start..<end]), shape: parameter.shape))
        start = end
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
