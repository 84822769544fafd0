/// Processes that do one task together by way of the store of rank 0: no MPI is needed. What they send each other passes through rank 0,
/// so it is for what is small; gradients go by MPI, or by the accelerators' own network.
package final class StoreRanks: Communicator {
  package let rank: Int
  package let count: Int
  package let host: String
  /// Where they leave values for each other.
  package let store: any KeyValueStore
  /// How often each has sent to, received from, and gathered with the others, which names the messages.
  private let turns: Turns

  private final class Turns: @unchecked Sendable {
    // All but one call of a communicator are made by one thread at a time.
    var sent: [Int: Int] = [:]
    var received: [Int: Int] = [:]
    var gathered = 0
  }

  package init(rank: Int, count: Int, host: String, store: any KeyValueStore) {
    (self.rank, self.count, self.host, self.store) = (rank, count, host, store)
    turns = Turns()
  }

  package func send(_ bytes: UnsafeRawBufferPointer, to target: Int) throws {
    let turn = turns.sent[target, default: 0]
    turns.sent[target] = turn + 1
    try store.put("ranks/\(rank)/\(target)/\(turn)", Array(bytes))
  }

  package func receive(_ bytes: UnsafeMutableRawBufferPointer, from source: Int) throws {
    let turn = turns.received[source, default: 0]
    turns.received[source] = turn + 1
    let message = try store.value(of: "ranks/\(source)/\(rank)/\(turn)", removes: true, within: nil)
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
    let turn = turns.gathered
    turns.gathered = turn + 1
    try store.put("ranks/all/\(turn)/\(rank)", bytes)
    let all = try (0..<count).map { source in
      source == rank ? bytes : try store.value(of: "ranks/all/\(turn)/\(source)", removes: false, within: nil)
    }
    // Whoever has begun this turn has read all of the one before.
    if turn > 0 { try store.remove("ranks/all/\(turn - 1)/\(rank)") }
    return all
  }
}
