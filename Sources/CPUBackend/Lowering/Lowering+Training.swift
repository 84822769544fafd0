import CKernels
import TensorGraph

extension Lowering {
  /// Updates the parameter, its moments and its average where they lie, if nothing needs their old values any more.
  func lowerAdam(_ node: Program.Node, _ adam: Adam, at index: Int) {
    // Operands p, g, m, v, ema; results p′, m′, v′, ema′.
    let layout = nativeLayout(node.operands[0])
    let gradient = form(node.operands[1], layout)
    let schedule = plain(node.operands[5])
    let kept = [0, 2, 3, 4]
    let targets = zip(kept, node.results).map { position, result in
      adamTarget(of: node.operands[position], result, layout, at: index)
    }
    let count = shape(node.operands[0]).count
    emit(
      Step(
        label: "adam", reads: [gradient, schedule] + targets, writes: targets,
        flops: 12 * Double(count)
      ) { _ in
        func scheduled(_ item: Adam.Schedule) -> Double { Double(schedule.floats[item.rawValue]) }
        var description = ck_adam(
          learning_rate: scheduled(.learningRate), beta1: adam.beta1, beta2: adam.beta2, epsilon: adam.epsilon,
          weight_decay: adam.weightDecay, decoupled: 1, gradient_scale: scheduled(.gradientScale),
          ema_decay: scheduled(.emaDecay), bias_correction1: scheduled(.biasCorrection1),
          bias_correction2: scheduled(.biasCorrection2))
        ck_adam_step(
          &description, targets[0].floats, gradient.floats, targets[1].floats, targets[2].floats, targets[3].floats,
          count)
      })
  }

  /// The memory where an updated tensor goes: its state's own, or a copy.
  private func adamTarget(
    of operand: Program.ValueID, _ result: Program.ValueID, _ layout: Layout, at index: Int
  ) -> Buffer {
    let source = form(operand, layout)
    if case .state(let name) = program.nodes[lifetimes.producers[operand]].op, updates[name] == result,
      nativeLayout(operand) == layout, isLastUse(of: operand, at: index)
    {
      markUpdatedInPlace(name)
      define(result, layout, source)
      return source
    }
    let target = Buffer(byteCount: source.byteCount)
    emit(copy(source, target))
    define(result, layout, target)
    return target
  }

  /// Whether nothing reads the value's memory after the step of the node at `index`.
  func isLastUse(of value: Program.ValueID, at index: Int) -> Bool {
    // What is fused into a later addition runs at that place.
    !lifetimes.isKept[value]
      && lifetimes.memoryReaders(of: value).allSatisfy { (fusion.host(of: $0) ?? $0) <= index }
  }
}
