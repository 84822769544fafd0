import CKernels
import TensorGraph

extension Lowering {
  func lowerConvolution(
    _ node: Program.Node, _ convolution: Convolution, adding addend: Program.ValueID?, to target: Program.ValueID
  ) throws {
    let (x, w) = (node.operands[0], node.operands[1])
    let problem = ConvolutionProblem(
      .forward, input: shape(x), kernel: shape(w), output: shape(node.results[0]), convolution, weights: kind(of: w))
    let kernel = try tuner.kernel(for: problem)
    let weights = packedWeights(w, problem, kernel)
    let source = operand(x, problem.inputLayout, kernel)
    let bias = node.operands.count == 3 ? plain(node.operands[2]) : nil
    let add = addend.map { form($0, problem.outputLayout) }
    let y = result(target, problem.outputLayout)
    emit(
      Step(
        label: "\(problem.label) \(kernel.name)", reads: source.buffers + [weights] + [bias, add].compactMap { $0 },
        writes: [y], scratch: kernel.scratchByteCount, flops: problem.flops,
        inPlace: kernel.addsInPlace ? add.map { (y, $0) } : nil
      ) { scratch in
        try kernel.run(
          .init(
            source: source.x.floats, weights: weights.raw, target: y.floats, bias: bias?.floats, addend: add?.floats,
            prologue: source.prologue), scratch)
      })
  }

  func lowerConvolutionInputGradient(
    _ node: Program.Node, _ convolution: Convolution, adding addend: Program.ValueID?, to target: Program.ValueID
  ) throws {
    let (dy, w) = (node.operands[0], node.operands[1])
    let problem = ConvolutionProblem(
      .inputGradient, input: shape(node.results[0]), kernel: shape(w), output: shape(dy), convolution,
      weights: kind(of: w))
    let kernel = try tuner.kernel(for: problem)
    let weights = packedWeights(w, problem, kernel)
    let source = form(dy, problem.outputLayout)
    let add = addend.map { form($0, problem.inputLayout) }
    let dx = result(target, problem.inputLayout)
    emit(
      Step(
        label: "\(problem.label) \(kernel.name)", reads: [source, weights] + (add.map { [$0] } ?? []), writes: [dx],
        scratch: kernel.scratchByteCount, flops: problem.flops, inPlace: kernel.addsInPlace ? add.map { (dx, $0) } : nil
      ) { scratch in
        try kernel.run(
          .init(source: source.floats, weights: weights.raw, target: dx.floats, addend: add?.floats), scratch)
      })
  }

  func lowerConvolutionWeightGradient(_ node: Program.Node, _ convolution: Convolution) throws {
    let (x, dy) = (node.operands[0], node.operands[1])
    let problem = ConvolutionProblem(
      .weightGradient, input: shape(x), kernel: shape(node.results[0]), output: shape(dy), convolution)
    let kernel = try tuner.kernel(for: problem)
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
        try kernel.run(
          .init(
            source: source.x.floats, weights: upstream.raw, target: dw.floats, biasGradient: db?.floats,
            prologue: source.prologue), scratch)
      })
  }

  // MARK: What a convolution reads

  /// A convolution's input as its kernel reads it: a buffer, or the input of a norm that is applied on the way.
  private struct SourceOperand {
    var x: Buffer
    var norm: DeferredNorm?

    var buffers: [Buffer] { [x] + (norm.map { [$0.scale, $0.shift] } ?? []) }
    var prologue: ConvolutionKernel.Prologue? {
      norm.map { .init(scale: $0.scale.floats, shift: $0.shift.floats, silu: $0.silu) }
    }
  }

  private func operand(_ id: Program.ValueID, _ layout: Layout, _ kernel: ConvolutionKernel) -> SourceOperand {
    if kernel.takesPrologue, let norm = deferredNorm(id) { return SourceOperand(x: norm.x, norm: norm) }
    return SourceOperand(x: form(id, layout), norm: nil)
  }

  /// The kernel of a convolution, or of its weights' gradient, whose input alone `id` is; nil for any other node.
  func convolution(_ node: Program.Node, reading id: Program.ValueID) throws -> ConvolutionKernel? {
    guard node.operands[0] == id, !node.operands.dropFirst().contains(id) else { return nil }
    let problem: ConvolutionProblem
    switch node.op {
    case .convolution(let c):
      problem = ConvolutionProblem(
        .forward, input: shape(id), kernel: shape(node.operands[1]), output: shape(node.results[0]), c,
        weights: kind(of: node.operands[1]))
    case .convolutionWeightGradient(let c, let kernel, _):
      problem = ConvolutionProblem(
        .weightGradient, input: shape(id), kernel: kernel, output: shape(node.operands[1]), c)
    default: return nil
    }
    return try tuner.kernel(for: problem)
  }

  // MARK: Packed weights

  private func kind(of w: Program.ValueID) -> ConvolutionProblem.Weights {
    if case .state(let name) = program.nodes[lifetimes.producers[w]].op, states[name]?.layout == .roundedKernel {
      return .rounded
    }
    return isFrozen(w) ? .constant : .changing
  }

  /// The weights in the kernel's own form. Packed in every run, or once where they do not change.
  private func packedWeights(_ w: Program.ValueID, _ problem: ConvolutionProblem, _ kernel: ConvolutionKernel) -> Buffer
  {
    guard kernel.packedByteCount > 0 else {
      return form(w, kernel.readsRounded ? .roundedKernel : problem.kernelLayout)
    }
    let isRounded = problem.weights == .rounded
    let master = form(w, isRounded ? .roundedKernel : problem.kernelLayout)
    // Widened for as long as they are packed.
    let count = problem.kernel.count
    let widened = isRounded ? (count * MemoryLayout<Float>.stride).rounded(up: MemoryPlanner.alignment) : 0
    return computing(from: w) {
      let packed = memory(byteCount: kernel.packedByteCount)
      emit(
        Step(label: "pack weights", reads: [master], writes: [packed], scratch: widened + kernel.scratchByteCount) {
          scratch in
          let floats = isRounded ? scratch.assumingMemoryBound(to: Float.self) : master.floats
          if isRounded { ck_widen_pairs(master.words, floats, count / 32) }
          try kernel.pack(floats, packed.raw, scratch + widened)
        })
      return packed
    }
  }
}

extension ConvolutionProblem {
  /// For profiles: `forward 128→256 3×3 @32`.
  var label: String {
    let stride = convolution.stride == 1 ? "" : " /\(convolution.stride)"
    return "\(direction) \(kernel[1])→\(kernel[0]) \(kernel[2])×\(kernel[3])\(stride) @\(output[2])"
  }
}
