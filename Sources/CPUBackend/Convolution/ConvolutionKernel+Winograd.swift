import CKernels
import TensorGraph

extension ConvolutionKernel {
  /// Our Winograd F(4×4, 3×3): 3×3, stride 1, padding 1, blocked channels.
  static func winograd(_ problem: ConvolutionProblem) -> ConvolutionKernel? {
    guard var conv = problem.winogradDescription else { return nil }
    let float = MemoryLayout<Float>.stride
    let weights = ck_winograd_weights(&conv) * float
    return family(
      problem, .winograd, "winograd", conv,
      forward: .init(
        weights: weights, scratch: ck_winograd_forward_workspace(&conv) * float,
        pack: { ck_winograd_transform($0, $1, $2.floats) },
        run: { ck_winograd_forward($0, $1.x, $2.floats, $3, $4, $5, $6.floats) }),
      inputGradient: .init(
        weights: weights, scratch: ck_winograd_backward_data_workspace(&conv) * float,
        pack: { ck_winograd_transform_backward($0, $1, $2.floats) },
        run: { ck_winograd_backward_data($0, $1.x, $2.floats, $4, $5, $6.floats) }),
      weightGradient: .init(
        scratch: ck_winograd_backward_weights_workspace(&conv) * float,
        run: { ck_winograd_backward_weights($0, $1, $2, $3, $4.floats) }))
  }
}

extension ConvolutionProblem {
  /// The kernels' form of the problem; nil where Winograd does not serve.
  var winogradDescription: ck_winograd? {
    guard isBlocked, isUnitThreeByThree else { return nil }
    return ck_winograd(
      samples: input[0], inputs: kernel[1], outputs: kernel[0], height: input[2], width: input[3])
  }
}
