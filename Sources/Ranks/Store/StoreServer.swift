import Threads

/// The store itself, in the process of rank 0. It keeps what is put, lets those wait who ask for more, and notices who ends without
/// leaving.
///
/// There is no password: as MPI's and NCCL's own, its port is for a network of one's own.
package final class StoreServer: Sendable {
  private struct State {
    var values: [String: [UInt8]] = [:]
    /// The processes that are there, by rank, and how they are told that another is gone.
    var present: [Int: Socket] = [:]
    var lost: Int?
  }

  private let state = Monitor(State())
  private let listener: Socket
  /// Where it listens.
  package var port: UInt16 { listener.port }

  /// - Parameter port: 0 takes one that is free.
  package init(port: UInt16 = 0) throws {
    listener = try Socket.listening(on: port)
    let (listener, state) = (listener, state)
    let thread = WorkerThread {
      while let socket = listener.accepted() { _ = WorkerThread { Self.serve(socket, state) } }
    }
    guard thread != nil else { throw StoreError.unreachable("port \(port)", reason: "no thread can be started") }
  }

  /// Waits until nobody is there any more.
  package func waitUntilLeft() { _ = state.wait { $0.present.isEmpty || $0.lost != nil ? true : nil } }

  private static func serve(_ socket: Socket, _ state: Monitor<State>) {
    // Whoever breaks off has nothing to be told.
    guard let request = try? StoreRequest(from: socket) else { return }
    switch request.kind {
    case .put:
      state.change { $0.values[request.key] = request.value }
      try? StoreAnswer.nothing.write(to: socket)
    case .remove:
      state.change { _ = $0.values.removeValue(forKey: request.key) }
      try? StoreAnswer.nothing.write(to: socket)
    case .present:
      try? (state.change { $0.values[request.key] }.map(StoreAnswer.value) ?? .nothing).write(to: socket)
    case .wait, .take:
      let answer: StoreAnswer = state.wait { state in
        if let lost = state.lost { return .lost(rank: lost) }
        guard let value = state.values[request.key] else { return nil }
        if request.kind == .take { state.values[request.key] = nil }
        return .value(value)
      }
      try? answer.write(to: socket)
    case .join:
      let rank = StoreRequest.number(request.value[...])
      let isNew = state.change { $0.present.updateValueIfAbsent(socket, rank) }
      guard isNew else {
        try? StoreAnswer.taken(rank: rank).write(to: socket)
        return
      }
      try? StoreAnswer.nothing.write(to: socket)
      // A byte says that it leaves; an end without one, that it is lost.
      let leaves = (try? socket.read(1)) != nil
      let told = state.change { state -> [Socket] in
        state.present[rank] = nil
        guard !leaves, state.lost == nil else { return [] }
        state.lost = rank
        return Array(state.present.values)
      }
      for other in told { try? StoreAnswer.lost(rank: rank).write(to: other) }
    }
  }
}

extension Dictionary {
  /// Whether there was none.
  fileprivate mutating func updateValueIfAbsent(_ value: Value, _ key: Key) -> Bool {
    guard self[key] == nil else { return false }
    self[key] = value
    return true
  }
}
