import CKernels
import TensorGraph

extension ConvolutionKernel {
  /// A network's last layer: 3×3, stride 1, padding 1, from blocked channels to at most three.
  static func thin(_ problem: ConvolutionProblem) -> ConvolutionKernel? {
    guard problem.inputLayout == .blocked, problem.kernel[0] <= CK_THIN_OUTPUTS, problem.isUnitThreeByThree else {
      return nil
    }
    return switch problem.direction {
    case .forward: thinForward(problem)
    // A first layer's, whose channels are few.
    case .inputGradient: nil
    case .weightGradient: thinWeightGradient(problem)
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
        withUnsafePointer(to: conv) { ck_thin_pack($0, w, packed.floats) }
      },
      run: { [conv] o, scratch in
        withUnsafePointer(to: conv) {
          ck_thin_forward($0, o.source, o.weights.floats, o.bias, o.addend, o.target, scratch.floats)
        }
      })
  }

  /// dw is a first layer's with x and dy exchanged, turned.
  private static func thinWeightGradient(_ problem: ConvolutionProblem) -> ConvolutionKernel {
    let exchanged = problem.exchanged
    let (first, byteCount) = (direct(exchanged), problem.turnedByteCount)
    return ConvolutionKernel(
      algorithm: .thin, name: first.name, scratchByteCount: byteCount + first.scratchByteCount,
      run: { o, scratch in
        first.run(.init(source: o.weights.floats, weights: o.source, target: scratch.floats), scratch + byteCount)
        exchanged.turn(scratch.floats, to: o.target)
        problem.sumBias(o)
      })
  }
}

extension ConvolutionProblem {
  /// That of dy as the input and x as the output.
  fileprivate var exchanged: ConvolutionProblem {
    ConvolutionProblem(
      direction, input: output, kernel: [kernel[1], kernel[0], kernel[2], kernel[3]], output: input, convolution)
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
