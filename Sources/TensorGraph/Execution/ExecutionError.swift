/// A run that cannot be done.
public enum ExecutionError: Error, Equatable, CustomStringConvertible {
  case missingInput(String, TensorType)
  case unknownInput(String, known: [String])
  case unknownState(String)
  /// Two programs name one state and disagree on its type.
  case conflictingState(String, TensorType, TensorType)
  /// A program names a state that the states it is compiled with lack.
  case missingState(String, TensorType)
  /// A program changes a state that is kept in fewer bits, as no program did for which it was made.
  case roundedState(String)
  /// The states of one backend given to another: what it makes itself, and what it was given.
  case foreignStates(expected: String, found: String)
  case wrongType(name: String, expected: TensorType, found: TensorType)
  case indexOutOfRange(op: String, index: Int, count: Int)
  case outOfMemory(needed: Int, available: Int)
  /// The system gave no memory though there seemed to be enough.
  case allocationRefused(byteCount: Int)
  /// The system starts no more threads.
  case threadsRefused(count: Int)

  public var description: String {
    let mebibytes = { (bytes: Int) in "\((bytes + (1 << 20) - 1) >> 20) MiB" }
    switch self {
    case .missingInput(let name, let type): return "input \(name) \(type) was not given"
    case .unknownInput(let name, let known):
      return "there is no input \(name); the inputs are \(known.joined(separator: ", "))"
    case .unknownState(let name): return "there is no state \(name)"
    case .conflictingState(let name, let one, let other):
      return "state \(name) is \(one) in one program and \(other) in another"
    case .missingState(let name, let type):
      return "state \(name) \(type) is not among the given states; make them for all the programs that share them"
    case .roundedState(let name):
      return
        "state \(name) is kept in 16 bits, and this program changes it; make the states for all the programs that share them"
    case .foreignStates(let expected, let found):
      return
        "states of kind \(found) were given where \(expected) are needed; states belong to the backend that made them"
    case .wrongType(let name, let expected, let found): return "\(name) is \(expected), but was given \(found)"
    case .indexOutOfRange(let op, let index, let count): return "\(op): index \(index) is not in 0..<\(count)"
    case .outOfMemory(let needed, let available):
      return
        "needs \(mebibytes(needed)) of memory, but only \(mebibytes(available)) are available; a smaller batch needs less"
    case .allocationRefused(let byteCount):
      return
        "the system refuses another \(mebibytes(byteCount)) of memory; raise the process's limit (ulimit -v), or take a smaller batch"
    case .threadsRefused(let count):
      return "the system refuses \(count) threads; take fewer, or raise the process's limits (ulimit -u, ulimit -v)"
    }
  }
}
