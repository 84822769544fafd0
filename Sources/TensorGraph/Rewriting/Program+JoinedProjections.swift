extension Program {
  /// The same program with two maps of every pixel in place of four around an attention of one head, where no run changes their weights.
  ///
  /// With qᵢ = W_q hᵢ + b_q and likewise k and v, weights aᵢⱼ = softmaxⱼ(qᵢᵀkⱼ/√d), and yᵢ = W_o (Σⱼ aᵢⱼ vⱼ) + b_o,
  ///
  ///     qᵢᵀ kⱼ = (W_kᵀ W_q hᵢ + W_kᵀ b_q)ᵀ hⱼ + qᵢᵀ b_k      the last term is the same for all j, so softmax does not see it
  ///     yᵢ = Σⱼ aᵢⱼ (W_o W_v hⱼ + W_o b_v + b_o)             because Σⱼ aᵢⱼ = 1
  ///
  /// The products of weights depend on weights alone, so that a backend computes them once. Equal but for rounding.
  public func joiningProjections() throws -> Program {
    let lifetimes = lifetimes
    let attentions = nodes.indices.compactMap { SingleHead(self, lifetimes, attention: $0) }
    guard !attentions.isEmpty else { return self }
    let byNode = Dictionary(uniqueKeysWithValues: attentions.map { ($0.attention, $0) })
    let outputs = Set(attentions.map(\.output.node))
    return try rebuilt { index, operands, value in
      // What the attention mixes is the result already.
      if outputs.contains(index) { return [operands[0]] }
      guard let head = byNode[index], case .attention(let attention) = nodes[index].op else { return nil }
      let (q, k, v, o) = (head.query, head.key, head.value, head.output)
      func matrix(_ p: Projection) -> Tensor { value(p.weight).reshaped([head.channels, head.channels]) }
      func row(_ bias: ValueID) -> Tensor { value(bias).reshaped([1, head.channels]) }
      func map(_ p: Projection, _ weight: Tensor, _ bias: Tensor?) -> Tensor {
        value(p.input).convolved(
          weight.reshaped([head.channels, head.channels, 1, 1]), bias: bias?.reshaped([head.channels]))
      }
      let valueBias = v.bias.map { row($0).matmul(matrix(o), transposeB: true) }
      let outputBias = o.bias.map(row)
      let bias = valueBias.map { bias in outputBias.map { bias + $0 } ?? bias } ?? outputBias
      let mixed = [
        map(q, matrix(k).matmul(matrix(q), transposeA: true), q.bias.map { row($0).matmul(matrix(k)) }),
        value(k.input), map(v, matrix(o).matmul(matrix(v)), bias),
      ]
      return value(nodes[index].operands[0]).builder.applyAll(
        .attention(attention), zip(mixed, operands).map { $0.reshaped($1.shape) })
    }
  }

  /// A 1×1 convolution whose weights no run changes.
  private struct Projection {
    var node: Int
    var input: ValueID
    /// States.
    var weight: ValueID
    var bias: ValueID?

    init?(_ program: Program, _ lifetimes: Lifetimes, node index: Int) {
      let node = program.nodes[index]
      guard case .convolution(let convolution) = node.op, convolution == Convolution(),
        program.types[node.operands[1]].shape.dimensions.suffix(2) == [1, 1],
        node.operands.dropFirst().allSatisfy({ program.isFrozen($0, lifetimes) })
      else { return nil }
      (self.node, input) = (index, node.operands[0])
      (weight, bias) = (lifetimes.roots[node.operands[1]], node.operands.dropFirst(2).first.map { lifetimes.roots[$0] })
    }
  }

  /// An attention of one head between pixels, whose four projections are square.
  private struct SingleHead {
    var attention: Int
    var channels: Int
    var query: Projection
    var key: Projection
    var value: Projection
    var output: Projection

    init?(_ program: Program, _ lifetimes: Lifetimes, attention index: Int) {
      let node = program.nodes[index]
      guard case .attention(let attention) = node.op, attention.heads == 1,
        let reader = program.onlyReader(of: node.results[0], lifetimes),
        // The scores lose a term.
        lifetimes.readers[node.results[1]].isEmpty, !lifetimes.isKept[node.results[1]],
        let output = Projection(program, lifetimes, node: reader),
        lifetimes.roots[output.input] == node.results[0]
      else { return nil }
      let inputs = node.operands.compactMap { operand -> Projection? in
        let producer = lifetimes.producers[lifetimes.roots[operand]]
        guard program.onlyReader(of: lifetimes.roots[operand], lifetimes) == index else { return nil }
        return Projection(program, lifetimes, node: producer)
      }
      let channels = program.types[node.operands[0]].shape[1]
      guard inputs.count == 3,
        (inputs + [output]).allSatisfy({ program.types[$0.weight].shape.count == channels * channels })
      else { return nil }
      (self.attention, self.channels, self.output) = (index, channels, output)
      (query, key, value) = (inputs[0], inputs[1], inputs[2])
    }
  }

  /// Whether the value is a state that no run changes, or another view of one.
  private func isFrozen(_ id: ValueID, _ lifetimes: Lifetimes) -> Bool {
    guard case .state(let name) = nodes[lifetimes.producers[lifetimes.roots[id]]].op else { return false }
    return !updates.contains { $0.name == name }
  }

  /// The one node that reads the value, through reshapes that nothing else reads.
  private func onlyReader(of id: ValueID, _ lifetimes: Lifetimes) -> Int? {
    guard !lifetimes.isKept[id], lifetimes.readers[id].count == 1, let reader = lifetimes.readers[id].first else {
      return nil
    }
    if case .reshape = nodes[reader].op { return onlyReader(of: nodes[reader].results[0], lifetimes) }
    return reader
  }
}
