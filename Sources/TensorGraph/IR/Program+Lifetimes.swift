extension Program {
  /// Who computes each value, who reads it, and how long it lives. Worked out anew at each call: keep it.
  public var lifetimes: Lifetimes { Lifetimes(self) }
}

/// Who computes each value of a program, who reads it, and how long its memory is needed. Every array is indexed by value.
///
/// A view (`Op.isView`) has no memory of its own: reading it keeps its root.
public struct Lifetimes: Sendable {
  /// The node that computes the value.
  public private(set) var producers: [Int]
  /// The nodes that read the value itself, in order.
  public private(set) var readers: [[Int]]
  /// The value whose memory this one is: itself, unless it is a view.
  public private(set) var roots: [Program.ValueID]
  /// Whether the run gives the value's memory back at its end: as an output, or as what a state becomes.
  public private(set) var isKept: [Bool]
  /// The last node that needs the value's memory: its producer, if nothing reads it; the end of the program, if it is kept.
  public private(set) var ends: [Int]

  private let nodeCount: Int
  /// The views of each root that has some.
  private var views: [Program.ValueID: [Program.ValueID]] = [:]

  init(_ program: Program) {
    let values = program.types.indices
    nodeCount = program.nodes.count
    producers = values.map { _ in program.nodes.count }
    readers = values.map { _ in [] }
    roots = Array(values)
    isKept = values.map { _ in false }
    for (index, node) in program.nodes.enumerated() {
      for result in node.results { producers[result] = index }
      for operand in node.operands where readers[operand].last != index { readers[operand].append(index) }
      if node.op.isView(of: node.operands.map { program.types[$0].shape }) {
        let root = roots[node.operands[0]]
        roots[node.results[0]] = root
        views[root, default: []].append(node.results[0])
      }
    }
    ends = producers
    for value in values { if let last = readers[value].last { ends[roots[value]] = max(ends[roots[value]], last) } }
    for kept in program.outputs + program.updates {
      isKept[roots[kept.value]] = true
      ends[roots[kept.value]] = program.nodes.count
    }
    for value in values where roots[value] != value {
      isKept[value] = isKept[roots[value]]
      ends[value] = ends[roots[value]]
    }
  }

  /// The nodes that read the value's memory: the value, its root, or another view of that.
  public func memoryReaders(of value: Program.ValueID) -> [Int] {
    let root = roots[value]
    return ([root] + (views[root] ?? [])).flatMap { readers[$0] }
  }

  /// For each node, the values whose memory is needed for the last time there.
  public var dying: [[Program.ValueID]] {
    var result = [[Program.ValueID]](repeating: [], count: nodeCount)
    for (value, end) in ends.enumerated() where end < nodeCount { result[end].append(value) }
    return result
  }

  /// The most memory that is alive at once, where a value that is no view takes `byteCount(value)`, and the first node at which it is.
  public func peak(_ byteCount: (Program.ValueID) -> Int) -> (byteCount: Int, node: Int) {
    var born = [Int](repeating: 0, count: nodeCount)
    var dead = born
    for value in owners {
      let bytes = byteCount(value)
      born[producers[value]] += bytes
      if ends[value] < nodeCount { dead[ends[value]] += bytes }
    }
    var alive = 0
    var peak = (byteCount: 0, node: 0)
    for index in 0..<nodeCount {
      alive += born[index]
      if alive > peak.byteCount { peak = (alive, index) }
      alive -= dead[index]
    }
    return peak
  }

  /// The values that have memory of their own. What was dropped as dead is in no node, and so not among them.
  public var owners: [Program.ValueID] { roots.indices.filter { roots[$0] == $0 && producers[$0] < nodeCount } }
}

extension Program {
  /// The bytes that running the program needs for a value: none for states, which persist, nor for what updates them where they lie.
  package func workingByteCount(of value: ValueID, _ lifetimes: Lifetimes) -> Int {
    switch nodes[lifetimes.producers[value]].op {
    case .state, .adam: 0
    default: 4 * types[value].shape.count
    }
  }
}

extension Op {
  /// Whether the result is the first operand's memory, or one stretch of it, seen in another way.
  public func isView(of operands: [Shape]) -> Bool {
    switch self {
    // The mean over one device is the operand.
    case .reshape, .detach, .allReduceMean: true
    case .slice(let axis, _, _): operands[0].dimensions.prefix(axis).allSatisfy { $0 == 1 }
    default: false
    }
  }
}
