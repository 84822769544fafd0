extension Program {
  /// Drops the nodes whose results nothing needs. Inputs and states stay: their names are the program's interface.
  mutating func removeDeadNodes() {
    var needed = Set((outputs + updates).map(\.value))
    var kept: [Node] = []
    for node in nodes.reversed() {
      let isInterface =
        switch node.op {
        case .input, .state: true
        default: false
        }
      guard isInterface || node.results.contains(where: needed.contains) else { continue }
      needed.formUnion(node.operands)
      kept.append(node)
    }
    nodes = kept.reversed()
  }
}
