import Ranks
import TestSupport
import Testing
import Threads

/// What processes leave for each other, by TCP on this machine.
@Suite("The store of rank 0", .mustEnd)
struct StoreTests {
  private func made() throws -> (server: StoreServer, client: StoreClient) {
    let server = try StoreServer()
    return (server, StoreClient(host: "127.0.0.1", port: server.port))
  }

  @Test func valuesAreThereForAll() throws {
    let (server, client) = try made()
    let long = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    try client.put("a", [1, 2, 3])
    try client.put("lang/名", long)
    try client.put("empty", [])
    #expect(try client.value(of: "a", removes: false, within: nil) == [1, 2, 3])
    #expect(try client.value(of: "lang/名", removes: false, within: 5) == long)
    #expect(try client.present("empty") == [])
    #expect(try client.present("b") == nil)
    try client.put("a", [4])
    #expect(try client.value(of: "a", removes: true, within: nil) == [4])
    #expect(try client.present("a") == nil)
    try client.remove("empty")
    #expect(try client.present("empty") == nil)
    withExtendedLifetime(server) {}
  }

  @Test func whoAsksTooEarlyWaits() throws {
    let (_, client) = try made()
    let answers = Monitor<[[UInt8]]>([])
    let threads = (0..<8).map { _ in
      WorkerThread {
        let value = (try? client.value(of: "late", removes: false, within: nil)) ?? [0]
        answers.change { $0.append(value) }
      }
    }
    try client.put("late", [9])
    for thread in threads { thread?.join() }
    #expect(answers.change { $0 } == [[UInt8]](repeating: [9], count: 8))
  }

  @Test func whatNeverComesIsLate() throws {
    let (_, client) = try made()
    #expect(throws: StoreError.late("never", seconds: 1)) {
      try client.value(of: "never", removes: false, within: 1)
    }
  }

  /// A process that ends without leaving frees all who wait, and the others are told.
  @Test func whoIsLostIsNamed() throws {
    let (server, client) = try made()
    let told = Monitor<[Int]>([])
    let stays = try client.join(rank: 0) { lost in told.change { $0.append(lost) } }
    // Its connection ends where it is forgotten.
    var dies: Socket? = try Socket.connected(to: "127.0.0.1", server.port)
    try StoreRequest(.join, "", StoreRequest.bytes(3)).write(to: #require(dies))
    _ = try StoreAnswer(from: #require(dies))
    #expect(throws: StoreError.taken(rank: 3)) { _ = try client.join(rank: 3) { _ in } }
    let waiting = WorkerThread {
      #expect(throws: StoreError.lost(rank: 3)) { try client.value(of: "x", removes: false, within: nil) }
    }
    dies = nil
    waiting?.join()
    #expect(told.wait { $0.isEmpty ? nil : $0 } == [3])
    withExtendedLifetime(stays) {}
  }

  @Test func whoLeavesIsNotMissed() throws {
    let (server, client) = try made()
    let first = try client.join(rank: 0) { Issue.record("rank \($0) is said to be lost") }
    let second = try client.join(rank: 1) { Issue.record("rank \($0) is said to be lost") }
    second.leave()
    first.leave()
    server.waitUntilLeft()
    try client.put("still", [1])
    #expect(try client.present("still") == [1])
  }

  /// What is no message of ours is dropped, and those that follow are answered.
  @Test func strangersAreIgnored() throws {
    let (server, client) = try made()
    let headers: [[UInt8]] = [
      Array("GET / HTTP/1.1\r\n\r\n".utf8), [UInt8](repeating: 255, count: 17), [],
      [1] + StoreRequest.bytes(-1) + StoreRequest.bytes(5), [1] + StoreRequest.bytes(3) + StoreRequest.bytes(1 << 40),
    ]
    for bytes in headers {
      let stranger = try Socket.connected(to: "127.0.0.1", server.port)
      try stranger.write(bytes)
    }
    try client.put("a", [1])
    #expect(try client.present("a") == [1])
  }

  @Test func addressesAreRead() throws {
    #expect(try StoreClient("node1:61440").host == "node1")
    #expect(try StoreClient("[::1]:80").host == "::1")
    #expect(try StoreClient("[::1]:80").port == 80)
    for bad in ["", "node", "node:", ":80", "node:99999", "node:-1"] {
      #expect(throws: StoreError.address(bad)) { try StoreClient(bad) }
    }
    #expect(throws: StoreError.self) { try StoreClient(host: "host.invalid", port: 1).put("a", []) }
  }

  /// A communicator by the store does what its protocol says.
  @Test(arguments: [2, 3, 5]) func ranksExchange(count: Int) throws {
    let (_, client) = try made()
    let results = Monitor<[Int: [UInt8]]>([:])
    let threads = (0..<count).map { rank in
      WorkerThread {
        let ranks = StoreRanks(rank: rank, count: count, host: "h\(rank)", store: client)
        do {
          var seen: [UInt8] = []
          for turn in 0..<3 {
            for (target, source) in ranks.partners {
              var received = [UInt8](repeating: 0, count: 2)
              try [UInt8(rank), UInt8(turn)].withUnsafeBytes { sent in
                try received.withUnsafeMutableBytes { try ranks.exchange(sent, to: target, $0, from: source) }
              }
              #expect(received == [UInt8(source), UInt8(turn)])
            }
            seen += try ranks.gather("\(rank)".padding(to: rank + 1)).flatMap { Array($0.utf8) }
          }
          let (all, mine) = (seen, rank)
          results.change { $0[mine] = all }
        } catch { Issue.record(error) }
      }
    }
    for thread in threads { thread?.join() }
    let all = results.change { $0 }
    let turn = (0..<count).flatMap { Array("\($0)".padding(to: $0 + 1).utf8) }
    for rank in 0..<count { #expect(all[rank] == turn + turn + turn) }
  }
}

extension String {
  fileprivate func padding(to count: Int) -> String { self + String(repeating: ".", count: count - self.count) }
}
