import Ranks

/// Why several ranks cannot do one task together.
public enum RankError: Error, Equatable, CustomStringConvertible, Sendable {
  /// More ranks than parts of a batch.
  case parts(Int, ranks: Int)
  /// More ranks than parameters to keep.
  case parameters(Int, ranks: Int)
  /// A rank has something else than the first.
  case differs(rank: Int, host: String, what: String, found: String, first: String)
  /// Several devices in each of several ranks.
  case devices(Int)
  /// The first rank has said what went wrong.
  case firstFailed

  public var description: String {
    switch self {
    case .parts(let parts, let ranks):
      "\(ranks) ranks cannot share a batch of \(parts) part\(parts == 1 ? "" : "s"): accumulate \(ranks), or a multiple of it, or start fewer ranks"
    case .parameters(let count, let ranks):
      "\(ranks) ranks cannot share a network of \(count) parameters: start fewer"
    case .differs(let rank, let host, let what, let found, let first):
      "rank \(rank) on \(host) has another \(what) than rank 0: \(found), not \(first)".onOneLine
    case .devices(let count): "each of several ranks computes on one device, not on \(count)"
    case .firstFailed: "the first rank has failed"
    }
  }
}

extension Communicator {
  /// Holds what every rank has against what the first has.
  ///
  /// - Throws: ``RankError/differs(rank:host:what:found:first:)`` on all of them, naming the first that has something else.
  package func agree(on what: String, _ mine: String) throws {
    guard isShared else { return }
    let (all, hosts) = (try gather(mine), try gather(host))
    guard let rank = all.indices.first(where: { all[$0] != all[0] }) else { return }
    throw RankError.differs(rank: rank, host: hosts[rank], what: what, found: all[rank], first: all[0])
  }
}
