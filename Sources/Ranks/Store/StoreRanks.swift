import Threads

/// Processes that do one task together by way of the store of rank 0: no MPI is needed. What they send each other passes through rank 0,
/// so it is for what is small; gradients go by MPI, or by the accelerators' own network.
package final class StoreRanks: Communicator {
  package let rank: Int
  package let count: Int
  package let host: String
  /// Where they leave values for each other.
  package let store: any KeyValueStore
  /// How many messages went each way so far.
  private let counts = Monitor<[String: Int]>([:])

  package init(rank: Int, count: Int, host: String, store: any KeyValueStore) {
    (self.rank, self.count, self.host, self.store) = (rank, count, host, store)
  }

  /// The number of the next message of a way.
  private func turn(_ way: String) -> Int {
    counts.change { counts in
      defer { counts[way, default: 0] += 1 }
      return counts[way, default: 0]
    }
  }

  package func send(_ bytes: UnsafeRawBufferPointer, to target: Int) throws {
    let way = "ranks/\(rank)/\(target)"
    try store.put("\(way)/\(turn(way))", Array(bytes))
  }

  package func receive(_ bytes: UnsafeMutableRawBufferPointer, from source: Int) throws {
    let way = "ranks/\(source)/\(rank)"
    let message = try store.value(of: "\(way)/\(turn(way))", removes: true, within: nil)
    guard message.count == bytes.count else {
      throw StoreError.broken("\(message.count) bytes came from rank \(source), where \(bytes.count) were wanted")
    }
    bytes.copyBytes(from: message)
  }

  package func exchange(
    _ sent: UnsafeRawBufferPointer, to target: Int, _ received: UnsafeMutableRawBufferPointer, from source: Int
  ) throws {
    try send(sent, to: target)
    try receive(received, from: source)
  }

  package func gather(_ bytes: [UInt8]) throws -> [[UInt8]] {
    let turn = turn("ranks/all")
    try store.put("ranks/all/\(turn)/\(rank)", bytes)
    let all = try (0..<count).map { source in
      source == rank ? bytes : try store.value(of: "ranks/all/\(turn)/\(source)", removes: false, within: nil)
    }
    // Whoever has begun this turn has read all of the one before.
    if turn > 0 { try store.remove("ranks/all/\(turn - 1)/\(rank)") }
    return all
  }
}
