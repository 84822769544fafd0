extension Program {
  /// The same program without the operators that `isLacking` names: each is replaced by its `Op.decomposition`, and so on until none
  /// is left. For a backend that has no kernel for some of them.
  ///
  /// - Throws: `ProgramError.noDecomposition` for an operator that is not composed of simpler ones.
  public func decomposed(where isLacking: (Op) -> Bool) throws -> Program {
    var result = self
    while result.nodes.contains(where: { isLacking($0.op) }) {
      result = try result.rebuilt { [nodes = result.nodes] index, operands, _ in
        let op = nodes[index].op
        guard isLacking(op) else { return nil }
        guard let decomposition = op.decomposition else { throw ProgramError.noDecomposition(op: op.name) }
        return decomposition(operands)
      }
    }
    return result
  }
}
