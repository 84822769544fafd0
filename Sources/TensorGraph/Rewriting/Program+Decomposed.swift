extension Program {
  /// The same program without the operators that `isLacking` names: each is replaced by its `Op.decomposition`, and so on until none
  /// is left. For a backend that has no kernel for some of them.
  ///
  /// - Throws: `ProgramError.noDecomposition` for an operator that is not composed of simpler ones.
  public func decomposed(where isLacking: (Op) -> Bool) throws -> Program {
    var result = self
    while result.nodes.contains(where: { isLacking($0.op) }) { result = try result.rebuilt(decomposing: isLacking) }
    return result
  }

  private func rebuilt(decomposing isLacking: (Op) -> Bool) throws -> Program {
    let builder = GraphBuilder()
    var values = [Tensor?](repeating: nil, count: types.count)
    func value(_ id: ValueID) -> Tensor {
      guard let value = values[id] else { preconditionFailure("%\(id) is used before it is computed") }
      return value
    }
    for node in nodes {
      let operands = node.operands.map(value)
      let results: [Tensor]
      let type = types[node.results[0]]
      if isLacking(node.op) {
        guard let decomposition = node.op.decomposition else { throw ProgramError.noDecomposition(op: node.op.name) }
        results = decomposition(operands)
      } else {
        results =
          switch node.op {
          case .input(let name): [builder.input(name, type.shape, type.dtype)]
          case .state(let name): [builder.state(name, type.shape)]
          case .constant(let scalars): [builder.constant(scalars, shape: type.shape)]
          default: builder.applyAll(node.op, operands)
          }
      }
      for (id, result) in zip(node.results, results) { values[id] = result }
    }
    for output in outputs { builder.output(output.name, value(output.value)) }
    for update in updates { builder.update(update.name, value(update.value)) }
    return try builder.finish()
  }
}
