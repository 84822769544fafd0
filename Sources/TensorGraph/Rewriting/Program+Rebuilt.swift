extension Program {
  /// The same program, built anew node by node, with what `replacement` gives in place of some.
  ///
  /// - Parameter replacement: the results of a node that is no leaf, from its index and its operands in the new program; nil keeps it.
  ///   The last parameter gives leaves, and values of earlier nodes, in the new program.
  func rebuilt(
    _ replacement: (_ index: Int, _ operands: [Tensor], _ value: (ValueID) -> Tensor) throws -> [Tensor]?
  ) throws -> Program {
    let builder = GraphBuilder()
    var values = [Tensor?](repeating: nil, count: types.count)
    func value(_ id: ValueID) -> Tensor {
      guard let value = values[id] else { preconditionFailure("%\(id) is used before it is computed") }
      return value
    }
    for node in nodes {
      let (id, type) = (node.results[0], types[node.results[0]])
      switch node.op {
      case .input(let name): values[id] = builder.input(name, type.shape, type.dtype)
      case .state(let name): values[id] = builder.state(name, type.shape)
      case .constant(let scalars): values[id] = builder.constant(scalars, shape: type.shape)
      default: break
      }
    }
    for (index, node) in nodes.enumerated() where values[node.results[0]] == nil {
      let operands = node.operands.map(value)
      let results = try replacement(index, operands, value) ?? builder.applyAll(node.op, operands)
      for (id, result) in zip(node.results, results) { values[id] = result }
    }
    for output in outputs { builder.output(output.name, value(output.value)) }
    for update in updates { builder.update(update.name, value(update.value)) }
    return try builder.finish()
  }
}
