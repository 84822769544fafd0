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

  /// The parameters of every rank in turns: in each, a rank has at most `room` numbers, or one parameter.
  func turns(room: Int = 1 << 22) -> [[[Int]]] {
    let pieces = owned.map { owned in
      owned.reduce(into: [[Int]]()) { pieces, index in
        if let last = pieces.last, size(of: last) + parameters[index].shape.count <= room {
          pieces[pieces.count - 1].append(index)
        } else {
          pieces.append([index])
        }
      }
    }
    return (0..<(pieces.map(\.count).max() ?? 0)).map { turn in pieces.map { turn < $0.count ? $0[turn] : [] } }
  }

  /// Numbers in some parameters.
  func size(of indices: [Int]) -> Int { indices.reduce(0) { $0 + parameters[$1].shape.count } }

  /// Numbers in a rank's parameters.
  func size(ofRank rank: Int) -> Int { size(of: owned[rank]) }
}
