import Ranks
import Threads

/// Several ranks in one process, each on a thread of its own.
public struct ThreadRank: Communicator {
  public let rank: Int
  public let count: Int
  public var host: String { "host\(rank % 2)" }
  private let mail: Monitor<Mail>

  private struct Way: Hashable {
    let source, target: Int
  }

  private struct Mail {
    var waiting: [Way: [[UInt8]]] = [:]
    var hasFailed = false
  }

  private struct OtherFailed: Error {}

  /// Runs `body` once for each rank.
  ///
  /// - Returns: what each gave.
  /// - Throws: the first error of a rank; those who wait for it end too.
  public static func run<Success: Sendable>(
    _ count: Int, _ body: @escaping @Sendable (ThreadRank) throws -> Success
  ) throws -> [Success] {
    let mail = Monitor(Mail())
    let results = Monitor<[Int: Result<Success, any Error>]>([:])
    let threads = (0..<count).map { rank in
      WorkerThread {
        let result = Result { try body(ThreadRank(rank: rank, count: count, mail: mail)) }
        if case .failure = result { mail.change { $0.hasFailed = true } }
        results.change { $0[rank] = result }
      }
    }
    for thread in threads { thread?.join() }
    let all = results.change { $0 }.sorted { $0.key < $1.key }.map(\.value)
    for case .failure(let error) in all where !(error is OtherFailed) { throw error }
    return try all.map { try $0.get() }
  }

  public func send(_ bytes: UnsafeRawBufferPointer, to target: Int) {
    let copy = Array(bytes)
    mail.change { $0.waiting[Way(source: rank, target: target), default: []].append(copy) }
  }

  public func receive(_ bytes: UnsafeMutableRawBufferPointer, from source: Int) throws {
    let way = Way(source: source, target: rank)
    let found: Result<[UInt8], any Error> = mail.wait { mail in
      if let first = mail.waiting[way]?.first {
        mail.waiting[way]?.removeFirst()
        return .success(first)
      }
      return mail.hasFailed ? .failure(OtherFailed()) : nil
    }
    let message = try found.get()
    precondition(message.count == bytes.count, "\(message.count) bytes came where \(bytes.count) were wanted")
    bytes.copyBytes(from: message)
  }

  public func exchange(
    _ sent: UnsafeRawBufferPointer, to target: Int, _ received: UnsafeMutableRawBufferPointer, from source: Int
  ) throws {
    send(sent, to: target)
    try receive(received, from: source)
  }

  public func gather(_ bytes: [UInt8]) throws -> [[UInt8]] {
    for target in 0..<count where target != rank { bytes.withUnsafeBytes { send($0, to: target) } }
    return try (0..<count).map { source in
      guard source != rank else { return bytes }
      var received = [UInt8](repeating: 0, count: bytes.count)
      try received.withUnsafeMutableBytes { try receive($0, from: source) }
      return received
    }
  }
}
