/// Values that processes leave for each other under names.
///
/// All of it may be called from several threads.
public protocol KeyValueStore: Sendable {
  /// Leaves a value; one of the same name is replaced.
  func put(_ key: String, _ value: [UInt8]) throws

  /// Waits for a value.
  ///
  /// - Parameters:
  ///   - removes: whether nobody else wants it.
  ///   - seconds: how long; nil for as long as it takes.
  /// - Throws: ``StoreError/late(_:seconds:)``, and ``StoreError/lost(rank:)`` where a process is gone, for which others might wait forever.
  func value(of key: String, removes: Bool, within seconds: Double?) throws -> [UInt8]

  /// The value that is there now.
  func present(_ key: String) throws -> [UInt8]?

  /// Forgets a value.
  func remove(_ key: String) throws
}

/// Why processes cannot leave values for each other.
public enum StoreError: Error, Equatable, CustomStringConvertible, Sendable {
  /// An address that is no HOST:PORT.
  case address(String)
  /// Variables of the environment that do not say which process of how many this is.
  case place(String)
  /// Nobody listens there, or it is taken.
  case unreachable(String, reason: String)
  /// A connection that ended, or said what it should not.
  case broken(String)
  /// A value that did not come.
  case late(String, seconds: Double)
  /// A process that ended without leaving.
  case lost(rank: Int)
  /// More than one process says that it is this one.
  case taken(rank: Int)

  public var description: String {
    switch self {
    case .address(let text): "\(text.debugDescription) is no address: write HOST:PORT"
    case .place(let problem): problem
    case .unreachable(let address, let reason): "\(address) cannot be used by the processes of this job: \(reason)"
    case .broken(let what): "the connection to rank 0 is broken: \(what)"
    case .late(let key, let seconds): "nothing was left under \(key.debugDescription) within \(Int(seconds)) s"
    case .lost(let rank): "rank \(rank) is gone: all end"
    case .taken(let rank): "two processes say that they are rank \(rank)"
    }
  }
}
