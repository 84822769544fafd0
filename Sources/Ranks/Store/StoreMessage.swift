/// What is asked of the store, one connection a question: a byte, the lengths of key and value, and both.
package struct StoreRequest {
  package enum Kind: UInt8 {
    case put = 1, wait, take, present, remove
    /// Stays connected: the process of this rank is there as long as the connection.
    case join
  }

  var kind: Kind
  var key: String
  var value: [UInt8] = []

  /// Names are XLA's and our own; values at most a tensor.
  private static let limits = (key: 1 << 12, value: 1 << 31)

  package func write(to socket: Socket) throws(StoreError) {
    try socket.write([kind.rawValue] + Self.bytes(key.utf8.count) + Self.bytes(value.count) + Array(key.utf8) + value)
  }

  package init(_ kind: Kind, _ key: String, _ value: [UInt8] = []) {
    (self.kind, self.key, self.value) = (kind, key, value)
  }

  /// Whoever sends something else is no process of ours.
  init(from socket: Socket) throws(StoreError) {
    guard let head = try socket.read(17), let kind = Kind(rawValue: head[0]) else {
      throw .broken("a message that is none of ours")
    }
    let (keySize, valueSize) = (Self.number(head[1..<9]), Self.number(head[9..<17]))
    guard 0...Self.limits.key ~= keySize, 0...Self.limits.value ~= valueSize,
      let key = try socket.read(keySize), let value = try socket.read(valueSize)
    else { throw .broken("a message of \(keySize) and \(valueSize) bytes") }
    self.init(kind, String(decoding: key, as: UTF8.self), value)
  }

  package static func bytes(_ number: Int) -> [UInt8] { withUnsafeBytes(of: Int64(number).littleEndian) { Array($0) } }
  static func number(_ bytes: ArraySlice<UInt8>) -> Int {
    Int(truncatingIfNeeded: bytes.enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element) << (8 * $1.offset) })
  }
}

/// What the store answers: a byte, a length and a value.
package enum StoreAnswer {
  case value([UInt8])
  case nothing
  case lost(rank: Int)
  case taken(rank: Int)

  package func write(to socket: Socket) throws(StoreError) {
    switch self {
    case .value(let bytes): try socket.write([0] + StoreRequest.bytes(bytes.count) + bytes)
    case .nothing: try socket.write([1] + StoreRequest.bytes(0))
    case .lost(let rank): try socket.write([2] + StoreRequest.bytes(rank))
    case .taken(let rank): try socket.write([3] + StoreRequest.bytes(rank))
    }
  }

  /// nil where none came in time.
  package init?(from socket: Socket) throws(StoreError) {
    guard let head = try socket.read(9) else { return nil }
    let number = StoreRequest.number(head[1...])
    switch head[0] {
    case 0 where 0...1 << 31 ~= number:
      guard let bytes = try socket.read(number) else { return nil }
      self = .value(bytes)
    case 1: self = .nothing
    case 2: self = .lost(rank: number)
    case 3: self = .taken(rank: number)
    default: throw .broken("an answer that is none of ours")
    }
  }
}
