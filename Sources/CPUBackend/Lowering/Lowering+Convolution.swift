import CKernels
import TensorGraph

extension Lowering {
  func lowerConvolution(
    _ node: Program.Node, _ convolution: Convolution, adding addend: Program.ValueID?, to target: Program.ValueID
  ) {
    let (x, w) = (node.operands[0], node.operands[1])
    let problem = forward(node, convolution)
    let bias = node.operands.count == 3 ? plain(node.operands[2]) : nil
    let add = addend.map { form($0, problem.outputLayout) }
    let kernel = kernels.kernel(for: problem)
    if let parts = parts(of: x), !kernel.readsParts {
      // w ∗ x = w₁ ∗ x₁ + w₂ ∗ x₂
      let (first, rest) = (0..<parts.after, parts.after..<shape(x)[1])
      let y = result(target, problem.outputLayout)
      emitForward(
        problem.reading(first), SourceOperand(x: parts.x), weights: (w, first), bias: bias, add: add, y)
      emitForward(problem.reading(rest), SourceOperand(x: parts.rest), weights: (w, rest), bias: nil, add: y, y)
      return
    }
    let source = operand(x, problem.inputLayout, kernel)
    emitForward(
      problem, source, weights: (w, nil), bias: bias, add: add, result(target, problem.outputLayout))
  }

  /// y = weights ∗ source + bias + add, the weights all of w or those of some inputs.
  private func emitForward(
    _ problem: ConvolutionProblem, _ source: SourceOperand, weights part: (w: Program.ValueID, inputs: Range<Int>?),
    bias: Buffer?, add: Buffer?, _ y: Buffer
  ) {
    let kernel = kernels.kernel(for: problem)
    let weights = packedWeights(part.w, of: part.inputs, problem, kernel)
    emit(
      Step(
        label: "\(problem.label) \(kernel.name)", reads: source.buffers + [weights] + [bias, add].compactMap { $0 },
        writes: [y], scratch: kernel.scratchByteCount, flops: problem.flops,
        inPlace: kernel.addsInPlace ? add.map { (y, $0) } : nil
      ) { scratch in
        kernel.run(
          .init(
            source: source.x.floats, rest: source.rest.map { ($0.x.floats, $0.after) }, weights: weights.raw,
            target: y.floats, bias: bias?.floats, addend: add?.floats, prologue: source.prologue), scratch)
      })
  }

  func lowerConvolutionInputGradient(
    _ node: Program.Node, _ convolution: Convolution, adding addend: Program.ValueID?, to target: Program.ValueID
  ) {
    let (dy, w) = (node.operands[0], node.operands[1])
    let problem = ConvolutionProblem(
      .inputGradient, input: shape(node.results[0]), kernel: shape(w), output: shape(dy), convolution,
      weights: kind(of: w))
    let kernel = kernels.kernel(for: problem)
    let weights = packedWeights(w, problem, kernel)
    let source = form(dy, problem.outputLayout)
    let add = addend.map { form($0, problem.inputLayout) }
    let dx = result(target, problem.inputLayout)
    emit(
      Step(
        label: "\(problem.label) \(kernel.name)", reads: [source, weights] + (add.map { [$0] } ?? []), writes: [dx],
        scratch: kernel.scratchByteCount, flops: problem.flops, inPlace: kernel.addsInPlace ? add.map { (dx, $0) } : nil
      ) { scratch in
        kernel.run(
          .init(source: source.floats, weights: weights.raw, target: dx.floats, addend: add?.floats), scratch)
      })
  }

  func lowerConvolutionWeightGradient(_ node: Program.Node, _ convolution: Convolution) {
    let (x, dy) = (node.operands[0], node.operands[1])
    let problem = ConvolutionProblem(
      .weightGradient, input: shape(x), kernel: shape(node.results[0]), output: shape(dy), convolution)
    let kernel = kernels.kernel(for: problem)
    let source = operand(x, problem.inputLayout, kernel)
    let upstream = form(dy, problem.outputLayout)
    let dw = result(node.results[0], problem.kernelLayout)
    let db = node.results.count == 2 ? result(node.results[1]) : nil
    emit(
      Step(
        label: "\(problem.label) \(kernel.name)", reads: source.buffers + [upstream],
        writes: [dw] + (db.map { [$0] } ?? []),
        scratch: kernel.scratchByteCount, flops: problem.flops
      ) { scratch in
        kernel.run(
          .init(
            source: source.x.floats, weights: upstream.raw, target: dw.floats, biasGradient: db?.floats,
            prologue: source.prologue), scratch)
      })
  }

  // MARK: What a convolution reads

  /// A convolution's input as its kernel reads it: a buffer, or the input of a norm that is applied on the way.
  private struct SourceOperand {
    var x: Buffer
    var rest: (x: Buffer, after: Int)?
    var norm: DeferredNorm?

    var buffers: [Buffer] { [x] + (rest.map { [$0.x] } ?? []) + (norm.map { [$0.scale, $0.shift] } ?? []) }
    var prologue: ConvolutionKernel.Prologue? {
      norm.map { .init(scale: $0.scale.floats, shift: $0.shift.floats, silu: $0.silu) }
    }
  }

  private func operand(_ id: Program.ValueID, _ layout: Layout, _ kernel: ConvolutionKernel) -> SourceOperand {
    if kernel.takesPrologue, let norm = deferredNorm(id) { return SourceOperand(x: norm.x, norm: norm) }
    if let parts = parts(of: id) { return SourceOperand(x: parts.x, rest: (parts.rest, parts.after)) }
    return SourceOperand(x: form(id, layout))
  }

  /// The kernel of a convolution, or of its weights' gradient, whose input alone `id` is; nil for any other node.
  func convolution(_ node: Program.Node, reading id: Program.ValueID) -> ConvolutionKernel? {
    if let problem = forward(node, reading: id) { return kernels.kernel(for: problem) }
    guard case .convolutionWeightGradient(let c, let kernel, _) = node.op else { return nil }
    let (x, dy) = (node.operands[0], node.operands[1])
    guard x == id, dy != id else { return nil }
    return kernels.kernel(
      for: ConvolutionProblem(.weightGradient, input: shape(x), kernel: kernel, output: shape(dy), c))
  }

  /// Whether `node` can read its input x in two parts, the second after so many channels, all whole blocks: as direct kernels do, or as
  /// the sum of two convolutions, where no run changes the weights, whose parts are then made once.
  func readsParts(_ node: Program.Node, _ x: Program.ValueID, after: Int) -> Bool {
    guard let problem = forward(node, reading: x), problem.isBlocked, !options.allows(.amx) else { return false }
    if kernels.kernel(for: problem).readsParts { return true }
    guard problem.weights == .constant, !options.rounds else { return false }
    return kernels.kernel(for: problem.reading(after..<shape(x)[1])).addsInPlace
  }

  /// The convolution that `node` is, if its input alone is x.
  private func forward(_ node: Program.Node, reading x: Program.ValueID) -> ConvolutionProblem? {
    guard case .convolution(let c) = node.op, node.operands[0] == x, !node.operands.dropFirst().contains(x) else {
      return nil
    }
    return forward(node, c)
  }

  private func forward(_ node: Program.Node, _ convolution: Convolution) -> ConvolutionProblem {
    let (x, w) = (node.operands[0], node.operands[1])
    return ConvolutionProblem(
      .forward, input: shape(x), kernel: shape(w), output: shape(node.results[0]), convolution, weights: kind(of: w))
  }

  // MARK: Packed weights

  private func kind(of w: Program.ValueID) -> ConvolutionProblem.Weights {
    if case .state(let name) = program.nodes[lifetimes.producers[w]].op, states[name]?.layout == .roundedKernel {
      return .rounded
    }
    return isFrozen(w) ? .constant : .changing
  }

  /// The weights in the kernel's own form. Packed in every run, or once where they do not change.
  private func packedWeights(
    _ w: Program.ValueID, of inputs: Range<Int>? = nil, _ problem: ConvolutionProblem, _ kernel: ConvolutionKernel
  ) -> Buffer {
    let isRounded = problem.weights == .rounded && (kernel.packedByteCount > 0 || kernel.readsRounded)
    let whole = form(w, isRounded ? .roundedKernel : problem.kernelLayout)
    let master = inputs.map { columns($0, of: w, whole) } ?? whole
    guard kernel.packedByteCount > 0 else { return master }
    // Widened for as long as they are packed.
    let count = problem.kernel.count
    let widened = isRounded ? (count * MemoryLayout<Float>.stride).rounded(up: MemoryPlanner.alignment) : 0
    return computing(from: w) {
      let packed = memory(byteCount: kernel.packedByteCount)
      emit(
        Step(label: "pack weights", reads: [master], writes: [packed], scratch: widened + kernel.scratchByteCount) {
          scratch in
          let floats = isRounded ? scratch.floats : master.floats
          if isRounded { ck_widen_pairs(master.words, floats, count / 32) }
          kernel.pack(floats, packed.raw, scratch + widened)
        })
      return packed
    }
  }

  /// The weights of some inputs, whole blocks, in the layout of blocked kernels.
  private func columns(_ inputs: Range<Int>, of w: Program.ValueID, _ whole: Buffer) -> Buffer {
    let (blocks, row) = (shape(w)[0] / Layout.block, shape(w).count / shape(w)[0] * Layout.block)
    let input = row / shape(w)[1]
    let (start, width) = (inputs.lowerBound * input, inputs.count * input)
    return computing(from: w) {
      let part = memory(byteCount: blocks * width * MemoryLayout<Float>.stride)
      emit(
        Step(label: "slice", reads: [whole], writes: [part]) { _ in
          ck_copy_rows(whole.floats + start, row, part.floats, width, blocks, width)
        })
      return part
    }
  }
}

extension ConvolutionProblem {
  /// The same for some of the input's channels.
  fileprivate func reading(_ inputs: Range<Int>) -> ConvolutionProblem {
    var part = self
    part.input[1] = inputs.count
    part.kernel[1] = inputs.count
    return part
  }
}
