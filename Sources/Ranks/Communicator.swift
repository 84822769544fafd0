/// The processes, on one machine or many, that do one task together: each has a number, its rank.
///
/// All but ``exchange(_:to:_:from:)``, ``send(_:to:)`` and ``receive(_:from:)`` is called by all ranks in the same order.
public protocol Communicator: Sendable {
  /// This process's number, from 0.
  var rank: Int { get }
  /// How many there are.
  var count: Int { get }
  /// The machine that this process runs on.
  var host: String { get }

  /// Sends bytes to one rank while it receives as many as `received` has room for from another.
  func exchange(
    _ sent: UnsafeRawBufferPointer, to target: Int, _ received: UnsafeMutableRawBufferPointer, from source: Int) throws

  /// Sends bytes to a rank that receives them.
  func send(_ bytes: UnsafeRawBufferPointer, to target: Int) throws

  /// Receives as many bytes as there is room for.
  func receive(_ bytes: UnsafeMutableRawBufferPointer, from source: Int) throws

  /// What every rank gives, by rank; all give as many bytes.
  func gather(_ bytes: [UInt8]) throws -> [[UInt8]]

  /// The sum over the ranks of `numbers`, in whatever order is fastest: of it this rank's stretch.
  ///
  /// - Parameter counts: how long the stretch of each rank is, one after the other.
  func sumScattered(_ numbers: [Float], counts: [Int]) throws -> [Float]
}

/// In which order the gradients of ranks are added.
public enum Reduction: String, Sendable, CaseIterable {
  /// Along one tree: the same to the last bit for any number of ranks.
  case exact
  /// As the ranks' own means of communication like it.
  case fast
  /// By the accelerators of all ranks, which average gradients among themselves within each step.
  case device
}

extension Communicator {
  /// Whether this process is one of several.
  public var isShared: Bool { count > 1 }
  /// Whether it is the one that writes and speaks.
  public var isFirst: Bool { rank == 0 }

  /// In whose turn this rank sends to whom and receives from whom, so that all exchange with all and nobody is sent to by two.
  public var partners: [(target: Int, source: Int)] {
    (1..<max(1, count)).map { s in ((rank + s) % count, (rank + count - s) % count) }
  }

  /// Whether any rank says so.
  public func any(_ answer: Bool) throws -> Bool {
    guard isShared else { return answer }
    return try gather([answer ? 1 : 0]).contains { $0 == [1] }
  }

  /// The numbers of every rank, by rank, each of which gives at most `most`; zeros fill what it does not.
  public func gather<Number: BitwiseCopyable & ExpressibleByIntegerLiteral>(
    _ numbers: [Number], most: Int
  ) throws -> [[Number]] {
    precondition(numbers.count <= most, "\(numbers.count) numbers where \(most) have room")
    let padded = numbers + [Number](repeating: 0, count: most - numbers.count)
    return try gather(padded.withUnsafeBytes { Array($0) }).map { bytes in
      bytes.withUnsafeBytes { Array($0.bindMemory(to: Number.self)) }
    }
  }

  /// The text of every rank, by rank.
  public func gather(_ text: String) throws -> [String] {
    let bytes = Array(text.utf8)
    let sizes = try gather([bytes.count], most: 1).map { $0[0] }
    let padded = bytes + [UInt8](repeating: 0, count: (sizes.max() ?? 0) - bytes.count)
    return zip(try gather(padded), sizes).map { String(decoding: $0.prefix($1), as: UTF8.self) }
  }

  /// Of stretches that come from one rank after the other.
  public func sumScattered(_ numbers: [Float], counts: [Int]) throws -> [Float] {
    let starts = counts.indices.map { counts[..<$0].reduce(0, +) }
    func stretch(_ rank: Int) -> ArraySlice<Float> { numbers[starts[rank]..<starts[rank] + counts[rank]] }
    var sum = Array(stretch(rank))
    for (target, source) in partners {
      var received = [Float](repeating: 0, count: sum.count)
      try stretch(target).withUnsafeBytes { sent in
        try received.withUnsafeMutableBytes { try exchange(sent, to: target, $0, from: source) }
      }
      for i in sum.indices { sum[i] += received[i] }
    }
    return sum
  }
}

extension Range<Int> {
  /// Of 0 ..< `total` what falls to one of `count` ranks: as many as to each other, or one more.
  package init(shareOf total: Int, rank: Int, of count: Int) {
    self = rank * total / count..<(rank + 1) * total / count
  }
}

/// One process that does all by itself.
public struct Alone: Communicator {
  /// The first.
  public let rank = 0
  /// And the last.
  public let count = 1
  /// Nobody asks.
  public let host = ""

  /// The only rank.
  public init() {}

  /// From itself to itself.
  public func exchange(
    _ sent: UnsafeRawBufferPointer, to target: Int, _ received: UnsafeMutableRawBufferPointer, from source: Int
  ) { received.copyMemory(from: sent) }

  /// Is never called.
  public func send(_ bytes: UnsafeRawBufferPointer, to target: Int) {
    preconditionFailure("one process has nobody to send to")
  }

  /// Is never called.
  public func receive(_ bytes: UnsafeMutableRawBufferPointer, from source: Int) {
    preconditionFailure("one process has nobody to receive from")
  }

  /// Its own.
  public func gather(_ bytes: [UInt8]) -> [[UInt8]] { [bytes] }
}
