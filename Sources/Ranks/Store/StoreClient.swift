import Platform
import Threads

/// The store as a process sees it, by TCP.
package struct StoreClient: KeyValueStore {
  /// Of the store.
  package let host: String
  package let port: UInt16

  package init(host: String, port: UInt16) { (self.host, self.port) = (host, port) }

  /// - Parameter address: HOST:PORT, where HOST may be in brackets.
  package init(_ address: String) throws(StoreError) {
    guard let colon = address.lastIndex(of: ":"), let port = UInt16(address[address.index(after: colon)...]) else {
      throw .address(address)
    }
    let host = address[..<colon].drop { $0 == "[" }.prefix { $0 != "]" }
    guard !host.isEmpty else { throw .address(address) }
    self.init(host: String(host), port: port)
  }

  package func put(_ key: String, _ value: [UInt8]) throws { _ = try answer(to: .init(.put, key, value)) }
  package func remove(_ key: String) throws { _ = try answer(to: .init(.remove, key)) }

  package func value(of key: String, removes: Bool, within seconds: Double?) throws -> [UInt8] {
    switch try answer(to: .init(removes ? .take : .wait, key), within: seconds) {
    case .value(let bytes)?: return bytes
    case nil: throw StoreError.late(key, seconds: seconds ?? 0)
    default: throw StoreError.broken("no value where one was waited for")
    }
  }

  package func present(_ key: String) throws -> [UInt8]? {
    guard case .value(let bytes)? = try answer(to: .init(.present, key)) else { return nil }
    return bytes
  }

  private func answer(to request: StoreRequest, within seconds: Double? = nil) throws(StoreError) -> StoreAnswer? {
    let socket = try Socket.connected(to: host, port)
    socket.limit(to: seconds)
    try request.write(to: socket)
    let answer = try StoreAnswer(from: socket)
    if case .lost(let rank)? = answer { throw .lost(rank: rank) }
    if case .taken(let rank)? = answer { throw .taken(rank: rank) }
    return answer
  }

  // MARK: Being there

  /// A process that is there until it leaves.
  package struct Presence: Sendable {
    private let socket: Socket
    private let hasLeft = Monitor(false)

    /// Says that this process has done its part.
    package func leave() {
      hasLeft.change { $0 = true }
      try? socket.write([1])
    }

    fileprivate init(_ socket: Socket, onLoss: @escaping @Sendable (Int) -> Void) {
      self.socket = socket
      let hasLeft = hasLeft
      _ = WorkerThread {
        var lost = 0
        if let answer = try? StoreAnswer(from: socket), case .lost(let rank) = answer { lost = rank }
        // Who has left is told nothing, and the connection ends.
        if !hasLeft.change({ $0 }) { onLoss(lost) }
      }
    }
  }

  /// Says that the process of `rank` is there. Rank 0 may still be starting: it is asked again for a while.
  ///
  /// - Parameter onLoss: called once, by a thread of its own, where another ends without leaving; rank 0 where the store itself is gone.
  package func join(
    rank: Int, patience seconds: Double = 120, onLoss: @escaping @Sendable (_ rank: Int) -> Void
  ) throws -> Presence {
    let socket = try connectedPatiently(seconds)
    socket.limit(to: seconds)
    try StoreRequest(.join, "", StoreRequest.bytes(rank)).write(to: socket)
    switch try StoreAnswer(from: socket) {
    case .nothing?: break
    case .taken(let rank)?: throw StoreError.taken(rank: rank)
    default: throw StoreError.unreachable("\(host):\(port)", reason: "it gives no answer")
    }
    socket.limit(to: nil)
    return Presence(socket, onLoss: onLoss)
  }

  private func connectedPatiently(_ seconds: Double) throws(StoreError) -> Socket {
    var waited = 0.0
    while true {
      do { return try Socket.connected(to: host, port) } catch {
        guard waited < seconds else { throw error }
        usleep(100_000)
        waited += 0.1
      }
    }
  }
}
