import CKernels
import TensorGraph

extension ConvolutionKernel {
  /// A network's last layer: 3×3, stride 1, padding 1, from blocked channels to at most three.
  static func thin(_ problem: ConvolutionProblem) throws(ExecutionError) -> ConvolutionKernel? {
    guard problem.inputLayout == .blocked, problem.kernel[0] <= CK_THIN_OUTPUTS, problem.isUnitThreeByThree else {
      return nil
    }
    return switch problem.direction {
    case .forward: thinForward(problem)
    case .inputGradient: try thinInputGradient(problem)
    case .weightGradient: try thinWeightGradient(problem)
    }
  }

  /// One product of ours.
  private static func thinForward(_ problem: ConvolutionProblem) -> ConvolutionKernel {
    let (input, kernel) = (problem.input, problem.kernel)
    var conv = ck_thin(samples: input[0], inputs: kernel[1], outputs: kernel[0], height: input[2], width: input[3])
    let float = MemoryLayout<Float>.stride
    let (weights, workspace) = (ck_thin_weights(&conv) * float, ck_thin_workspace(&conv) * float)
    return ConvolutionKernel(
      algorithm: .thin, name: "thin", packedByteCount: weights, scratchByteCount: workspace,
      pack: { [conv] w, packed, _ in
        withUnsafePointer(to: conv) { ck_thin_pack($0, w, packed.assumingMemoryBound(to: Float.self)) }
      },
      run: { [conv] o, scratch in
        withUnsafePointer(to: conv) {
          ck_thin_forward(
            $0, o.source, o.weights.assumingMemoryBound(to: Float.self), o.bias, o.addend, o.target,
            scratch.assumingMemoryBound(to: Float.self))
        }
      })
  }

  /// dx is the convolution of dy, whose channels are few, with the weights turned: a first layer's, which libraries have.
  private static func thinInputGradient(_ problem: ConvolutionProblem) throws(ExecutionError) -> ConvolutionKernel? {
    guard let first = try dnnl(problem.exchanged(.forward)) else { return nil }
    let byteCount = problem.turnedByteCount
    var kernel = first
    kernel.algorithm = .thin
    kernel.packedByteCount = first.packedByteCount > 0 ? first.packedByteCount : byteCount
    kernel.scratchByteCount = byteCount + first.scratchByteCount
    kernel.pack = { w, packed, scratch in
      let turned = first.packedByteCount > 0 ? scratch : packed
      problem.turn(w, to: turned.assumingMemoryBound(to: Float.self))
      if first.packedByteCount > 0 {
        try first.pack(turned.assumingMemoryBound(to: Float.self), packed, scratch + byteCount)
      }
    }
    return kernel
  }

  /// dw is a first layer's with x and dy exchanged, turned.
  private static func thinWeightGradient(_ problem: ConvolutionProblem) throws(ExecutionError) -> ConvolutionKernel? {
    let exchanged = problem.exchanged(.weightGradient)
    guard let first = try dnnl(exchanged) else { return nil }
    let (byteCount, output) = (problem.turnedByteCount, problem.output)
    return ConvolutionKernel(
      algorithm: .thin, name: first.name, scratchByteCount: byteCount + first.scratchByteCount,
      run: { o, scratch in
        let (turned, dy) = (
          scratch.assumingMemoryBound(to: Float.self), o.weights.assumingMemoryBound(to: Float.self)
        )
        try first.run(.init(source: dy, weights: o.source, target: turned), scratch + byteCount)
        exchanged.turn(turned, to: o.target)
        if let db = o.biasGradient { ck_channel_sums(dy, db, output[0], output[1], output[2] * output[3], 0) }
      })
  }
}

extension ConvolutionProblem {
  /// That of dy as the input and x as the output.
  fileprivate func exchanged(_ direction: Direction) -> ConvolutionProblem {
    ConvolutionProblem(
      direction, input: output, kernel: [kernel[1], kernel[0], kernel[2], kernel[3]], output: input, convolution,
      weights: weights)
  }

  fileprivate var turnedByteCount: Int {
    (kernel.count * MemoryLayout<Float>.stride).rounded(up: MemoryPlanner.alignment)
  }

  /// Exchanges inputs and outputs of plain weights, and turns each kernel by 180°.
  fileprivate func turn(_ w: UnsafePointer<Float>, to turned: UnsafeMutablePointer<Float>) {
    let (outputs, inputs, taps) = (kernel[0], kernel[1], kernel[2] * kernel[3])
    ck_gather_strided(w + taps - 1, [taps, inputs * taps, -1], turned, 3, [inputs, outputs, taps])
  }
}
