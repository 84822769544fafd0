extension Program {
  /// The same program with large, cheap intermediate results computed a second time where they are needed late, in place of kept, if more than
  /// `byteCount` bytes are alive at the worst moment.
  ///
  /// A training step keeps what its backward pass reads. Of that, norms, dropout, concatenations and enlarged images follow by one pass
  /// over memory from what is kept as well. Those computed before the worst moment and read after it are dropped in between, where this
  /// frees memory. Equal to the last bit, and a few percent slower where caches hold what was kept.
  ///
  /// To be the last rewriting: building the graph once more joins equal expressions.
  public func recomputing(beyond byteCount: Int = 1 << 29) throws -> Program {
    let kept = Kept(self, beyond: byteCount)
    guard !kept.dropped.isEmpty else { return self }
    var again: [ValueID: Tensor] = [:]
    return try rebuilt { index, operands, value in
      guard index > kept.peak, nodes[index].operands.contains(where: kept.dropped.contains) else { return nil }
      func late(_ id: ValueID) -> Tensor {
        guard kept.dropped.contains(id) else { return value(id) }
        if let known = again[id] { return known }
        let node = nodes[kept.lifetimes.producers[id]]
        let operands = node.operands.map(late)
        let result = operands[0].builder.applyAnew(node.op, operands)[0]
        again[id] = result
        return result
      }
      return operands[0].builder.applyAll(nodes[index].op, nodes[index].operands.map(late))
    }
  }

  /// What a program keeps beyond the moment at which most of its memory is alive, and need not.
  private struct Kept {
    let program: Program
    let lifetimes: Lifetimes
    /// The node at which most memory is alive.
    let peak: Int
    /// Values from before the peak that are computed again after it.
    private(set) var dropped: Set<ValueID> = []
    /// The last node that needs each value's memory.
    private var ends: [Int]

    init(_ program: Program, beyond byteCount: Int) {
      let lifetimes = program.lifetimes
      (self.program, self.lifetimes, ends) = (program, lifetimes, lifetimes.ends)
      let most = lifetimes.peak { program.workingByteCount(of: $0, lifetimes) }
      peak = most.node
      guard most.byteCount > byteCount else { return }
      for node in program.nodes.prefix(peak) {
        let id = node.results[0]
        guard node.op.isOnePass, !lifetimes.isKept[id], let reader = firstLateReader(of: id) else { continue }
        let missing = missing(for: id, at: reader)
        if lifetimes.roots[id] != id {
          // A view is nothing to gain; it has to follow its memory.
          guard dropped.contains(lifetimes.roots[id]) else { continue }
        } else {
          guard (bytes(id) - bytes(missing.kept)) * 1000 > most.byteCount else { continue }
        }
        dropped.formUnion(missing.computed + [id])
        for operand in missing.kept { ends[operand] = reader }
      }
    }

    private func bytes(_ id: ValueID) -> Int { program.workingByteCount(of: id, lifetimes) }
    private func bytes(_ ids: [ValueID]) -> Int { Set(ids).reduce(0) { $0 + bytes($1) } }

    /// The first node after the peak that reads the value's memory.
    private func firstLateReader(of id: ValueID) -> Int? {
      let readers = lifetimes.roots[id] == id ? lifetimes.memoryReaders(of: id) : lifetimes.readers[id]
      return readers.filter { $0 > peak }.min()
    }

    /// What computing the value once more at the node `reader` needs that is not there: what would be computed again with it, and what kept
    /// until then. At most `depth` are computed one from another.
    private func missing(for id: ValueID, at reader: Int, depth: Int = 4) -> (computed: [ValueID], kept: [ValueID]) {
      var (computed, kept): ([ValueID], [ValueID]) = ([], [])
      for operand in program.nodes[lifetimes.producers[id]].operands {
        let root = lifetimes.roots[operand]
        let isGiven = program.nodes[lifetimes.producers[root]].operands.isEmpty
        if isGiven || dropped.contains(operand) || ends[root] >= reader { continue }
        let node = program.nodes[lifetimes.producers[operand]]
        if depth > 1, node.op.isOnePass, node.results[0] == operand {
          let further = missing(for: operand, at: reader, depth: depth - 1)
          if bytes(further.kept) < bytes(root) {
            computed += further.computed + [operand]
            kept += further.kept
            continue
          }
        }
        kept.append(root)
      }
      return (computed, kept)
    }
  }
}

extension Op {
  /// Whether it takes about as long as reading its operands and writing its result.
  fileprivate var isOnePass: Bool {
    switch self {
    case .unary, .binary, .groupNorm, .reshape, .concat, .upsampleNearest, .averagePool, .dropoutMask: true
    default: false
    }
  }
}
