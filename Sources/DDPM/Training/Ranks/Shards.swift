import Networks

/// Which rank keeps the moments and the average of each trained parameter, and updates it.
///
/// Whole parameters, largest first, each to whoever has least: then a rank has no more than the mean and one parameter.
struct Shards: Sendable {
  /// The trained parameters, in the network's order.
  let parameters: [Parameter]
  /// The positions of each rank's, in that order.
  let owned: [[Int]]

  init(of all: [Parameter], among count: Int) throws(RankError) {
    parameters = all.filter(\.isTrained)
    guard count <= parameters.count else { throw .parameters(parameters.count, ranks: count) }
    let sizes = parameters.map(\.shape.count)
    var (owned, loads) = ([[Int]](repeating: [], count: count), [Int](repeating: 0, count: count))
    for index in sizes.indices.sorted(by: { (sizes[$1], $0) < (sizes[$0], $1) }) {
      let rank = loads.indices.min { (loads[$0], $0) < (loads[$1], $1) } ?? 0
      owned[rank].append(index)
      loads[rank] += sizes[index]
    }
    self.owned = owned.map { $0.sorted() }
  }

  /// Numbers in a rank's parameters.
  func size(ofRank rank: Int) -> Int { owned[rank].reduce(0) { $0 + parameters[$1].shape.count } }
}
