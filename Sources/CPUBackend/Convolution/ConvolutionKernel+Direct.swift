import CKernels
import TensorGraph

extension ConvolutionKernel {
  /// Our matrix products over all positions: every shape.
  static func direct(_ problem: ConvolutionProblem) -> ConvolutionKernel {
    var conv = problem.directDescription
    let float = MemoryLayout<Float>.stride
    return family(
      problem, .direct, "direct", conv,
      forward: .init(
        weights: ck_direct_forward_weights(&conv) * float, scratch: ck_direct_forward_workspace(&conv) * float,
        pack: { ck_direct_pack($0, $1, $2.floats) }, readsParts: problem.inputLayout == .blocked,
        run: { ck_direct_forward($0, $1, $2.floats, $3, $4, $5, $6.floats) }),
      inputGradient: .init(
        weights: ck_direct_backward_data_weights(&conv) * float,
        scratch: ck_direct_backward_data_workspace(&conv) * float,
        pack: { ck_direct_pack_backward($0, $1, $2.floats) },
        run: { ck_direct_backward_data($0, $1.x, $2.floats, $4, $5, $6.floats) }),
      weightGradient: .init(
        scratch: ck_direct_backward_weights_workspace(&conv) * float,
        run: { ck_direct_backward_weights($0, $1, $2, $3, $4.floats) }))
  }
}

extension ConvolutionProblem {
  /// The kernels' form of the problem.
  var directDescription: ck_direct {
    ck_direct(
      samples: input[0], inputs: kernel[1], outputs: kernel[0], height: input[2], width: input[3],
      out_height: output[2], out_width: output[3], kernel_height: kernel[2], kernel_width: kernel[3],
      stride: convolution.stride, top: convolution.padding.top, left: convolution.padding.left)
  }

  /// db = Σ dy, where a run asks for it.
  func sumBias(_ o: ConvolutionKernel.Operands) {
    guard let db = o.biasGradient else { return }
    ck_channel_sums(
      o.weights.floats, db, output[0], output[1], output[2] * output[3], outputLayout == .blocked ? 1 : 0)
  }
}
