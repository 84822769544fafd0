import Networks
import Ranks
import TensorGraph

/// The states of all ranks as the first one sees them: what it does not hold it asks for, one tensor at a time.
final class ClusterStates: States {
  let types: [String: TensorType]
  var byteCount: Int { own.byteCount }
  private let own: any States
  private let ranks: any Communicator
  /// What can be asked for, and of whom.
  private let names: [String]
  private let owners: [String: Int]

  init(_ own: any States, _ shards: Shards, _ ranks: any Communicator) {
    self.own = own
    self.ranks = ranks
    var (types, owners) = (own.types, [String: Int]())
    for (rank, owned) in shards.owned.enumerated() {
      for parameter in owned.map({ shards.parameters[$0] }) {
        for prefix in [StateName.m, StateName.v, StateName.ema] {
          types[prefix + parameter.name] = TensorType(parameter.shape)
          owners[prefix + parameter.name] = rank
        }
      }
    }
    (self.types, self.owners, names) = (types, owners, owners.keys.sorted())
  }

  /// What the first rank says in place of a name's number.
  private enum Word: Int32 { case done = -1, failed = -2 }

  /// Does on the first rank what needs the states of all. The others answer it until it is done.
  ///
  /// - Throws: on the first what `body` throws, and then on the others too.
  func onFirst(_ body: (any States) throws -> Void) throws {
    guard ranks.isFirst else { return try answer() }
    do { try body(self) } catch {
      for rank in 1..<ranks.count { try? say(Word.failed.rawValue, to: rank) }
      throw error
    }
    for rank in 1..<ranks.count { try say(Word.done.rawValue, to: rank) }
  }

  func read(_ name: String) throws -> TensorData {
    guard own.types[name] == nil, let owner = owners[name], let type = types[name],
      let number = names.firstIndex(of: name)
    else { return try own.read(name) }
    try say(Int32(number), to: owner)
    let floats = try [Float](unsafeUninitializedCapacity: type.shape.count) { floats, count in
      let room = UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: floats[..<type.shape.count]))
      try ranks.receive(room, from: owner)
      count = type.shape.count
    }
    return TensorData(floats, shape: type.shape)
  }

  func write(_ name: String, _ data: TensorData) throws { try own.write(name, data) }

  private func say(_ word: Int32, to rank: Int) throws {
    try withUnsafeBytes(of: word) { try ranks.send($0, to: rank) }
  }

  private func answer() throws {
    while true {
      var word: Int32 = 0
      try withUnsafeMutableBytes(of: &word) { try ranks.receive($0, from: 0) }
      switch Word(rawValue: word) {
      case .done: return
      case .failed: throw RankError.firstFailed
      case nil: try own.read(names[Int(word)]).floats.withUnsafeBytes { try ranks.send($0, to: 0) }
      }
    }
  }
}
