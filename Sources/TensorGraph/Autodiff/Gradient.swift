extension GraphBuilder {
  /// The gradients of the scalar `loss` with respect to `targets`, as further nodes of the same graph.
  ///
  /// One walk from the loss back to the targets; the rules are in `GradientRules`. A target that the loss does not
  /// depend on has gradient zero.
  public func gradients(of loss: Tensor, withRespectTo targets: [Tensor]) -> [Tensor] {
    if loss.shape.count != 1 || loss.dtype != .float { fail(.lossNotScalar(loss.type)) }

    // Only what lies between the targets and the loss is worth differentiating.
    var reachesTarget = Set(targets.map(\.id))
    let nodes = program.nodes
    for node in nodes where node.op != .detach && node.operands.contains(where: reachesTarget.contains) {
      reachesTarget.formUnion(node.results)
    }

    var gradients: [Program.ValueID: Tensor] = [
      loss.id: constant([Float](repeating: 1, count: loss.shape.count), shape: loss.shape)
    ]
    for node in nodes.reversed() {
      guard node.results.contains(where: { gradients[$0] != nil }),
        node.operands.contains(where: reachesTarget.contains)
      else { continue }
      let context = GradientContext(
        builder: self, node: node,
        operands: node.operands.map(tensor), results: node.results.map(tensor),
        upstream: node.results.map { gradients[$0] },
        wanted: node.operands.map(reachesTarget.contains))
      for (operand, gradient) in zip(node.operands, context.operandGradients()) {
        guard let gradient, reachesTarget.contains(operand) else { continue }
        gradients[operand] = gradients[operand].map { $0 + gradient } ?? gradient
      }
    }
    return targets.map { target in
      gradients[target.id] ?? constant([0], shape: .scalar).broadcast(to: target.shape)
    }
  }
}
