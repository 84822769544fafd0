import Networks
import Ranks
import TensorGraph
import Threads

/// The states of all ranks as the first one sees them: what it does not hold it asks for when it is read, one tensor at a time, or a few
/// small ones that follow it in their names' order.
final class ClusterStates: States {
  let types: [String: TensorType]
  var byteCount: Int { own.byteCount }
  private let own: any States
  private let ranks: any Communicator
  /// What can be asked for, and of whom.
  private let names: [String]
  private let owners: [String: Int]
  /// What came with something else, and was not read yet.
  private let ahead = Monitor<[String: TensorData]>([:])

  /// Numbers that one answer has room for, unless a tensor is larger.
  private static let room = 1 << 18

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
    ahead.change { $0 = [:] }
    do { try body(self) } catch {
      for rank in 1..<ranks.count { try? say(Word.failed.rawValue, to: rank) }
      throw error
    }
    for rank in 1..<ranks.count { try say(Word.done.rawValue, to: rank) }
  }

  func read(_ name: String) throws -> TensorData {
    if let known = ahead.change({ $0.removeValue(forKey: name) }) { return known }
    guard own.types[name] == nil, let owner = owners[name], let number = names.firstIndex(of: name) else {
      return try own.read(name)
    }
    try say(Int32(number), to: owner)
    var tensors: [String: TensorData] = [:]
    let answer = answer(to: number)
    var floats = [Float](repeating: 0, count: answer.reduce(0) { $0 + $1.shape.count })
    try floats.withUnsafeMutableBytes { try ranks.receive($0, from: owner) }
    var start = 0
    for (name, shape) in answer {
      tensors[name] = TensorData(Array(floats[start..<start + shape.count]), shape: shape)
      start += shape.count
    }
    let wanted = tensors.removeValue(forKey: name)
    let others = tensors
    ahead.change { $0.merge(others) { $1 } }
    guard let wanted else { throw ExecutionError.unknownState(name) }
    return wanted
  }

  /// What is sent when the state of this number is asked for.
  private func answer(to number: Int) -> [(name: String, shape: Shape)] {
    var (answer, size) = ([(name: String, shape: Shape)](), 0)
    for name in names[number...] where owners[name] == owners[names[number]] {
      guard let shape = types[name]?.shape, answer.isEmpty || size + shape.count <= Self.room else { break }
      answer.append((name, shape))
      size += shape.count
    }
    return answer
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
      case nil:
        try own.read(answer(to: Int(word)).map(\.name)).flatMap(\.floats).withUnsafeBytes { try ranks.send($0, to: 0) }
      }
    }
  }
}
