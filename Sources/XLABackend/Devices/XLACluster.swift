import Ranks

/// The processes whose devices run one program together, each on its share of every batch: what they compute is averaged by the
/// accelerators' own network (NCCL on NVIDIA).
public struct XLACluster: Sendable {
  /// This process's number.
  public let rank: Int
  /// How many there are.
  public let count: Int
  /// Where their clients find each other.
  let store: any KeyValueStore

  /// Called by all ranks.
  ///
  /// - Throws: `StoreError` where they cannot reach rank 0.
  public init(_ ranks: any Communicator) throws {
    (rank, count) = (ranks.rank, ranks.count)
    if let ranks = ranks as? StoreRanks {
      store = ranks.store
    } else {
      // A thread of rank 0 keeps it as long as the process lives.
      let port = ranks.isFirst ? try StoreServer().port : 0
      let address = try ranks.gather("\(ranks.host):\(port)")[0]
      store = try StoreClient(address)
    }
  }
}
