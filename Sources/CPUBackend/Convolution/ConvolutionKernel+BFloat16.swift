import CKernels
import TensorGraph

extension ConvolutionKernel {
  /// Operands rounded to bfloat16 on AVX512-BF16: blocked channels. Winograd for 3×3 of stride 1, but for images of one tile.
  static func bfloat16(_ problem: ConvolutionProblem) -> ConvolutionKernel? {
    guard ck_bf16_available() != 0, problem.isBlocked else { return nil }
    if let conv = problem.winogradDescription, !problem.isOneTile { return winogradBFloat16(problem, conv) }
    return directBFloat16(problem)
  }

  private static func winogradBFloat16(_ problem: ConvolutionProblem, _ conv: ck_winograd) -> ConvolutionKernel {
    var conv = conv
    let weights = ck_bf16_winograd_weights(&conv)
    let readsRounded = problem.weights == .rounded && problem.direction == .forward && weights == 0
    return family(
      problem, .bfloat16, "winograd bfloat16", conv, readsRounded: readsRounded,
      forward: .init(
        weights: weights, scratch: ck_bf16_winograd_forward_workspace(&conv), pack: ck_bf16_winograd_transform,
        run: { [run = readsRounded ? ck_bf16_winograd_forward_of_words : ck_bf16_winograd_forward] in
          run($0, $1.x, $2, $3, $4, $5, $6)
        }),
      inputGradient: .init(
        weights: weights, scratch: ck_bf16_winograd_backward_data_workspace(&conv),
        pack: ck_bf16_winograd_transform_backward,
        run: { ck_bf16_winograd_backward_data($0, $1.x, $2, $4, $5, $6) }),
      weightGradient: .init(
        scratch: ck_bf16_winograd_backward_weights_workspace(&conv), run: ck_bf16_winograd_backward_weights))
  }

  private static func directBFloat16(_ problem: ConvolutionProblem) -> ConvolutionKernel {
    var conv = problem.directDescription
    let readsRounded = problem.weights == .rounded && problem.direction == .forward
    return family(
      problem, .bfloat16, "direct bfloat16", conv, readsRounded: readsRounded,
      forward: .init(
        weights: readsRounded ? 0 : ck_bf16_direct_weights(&conv), scratch: ck_bf16_direct_forward_workspace(&conv),
        pack: ck_bf16_direct_pack, readsParts: true, run: ck_bf16_direct_forward),
      inputGradient: .init(
        weights: ck_bf16_direct_weights(&conv), scratch: ck_bf16_direct_backward_data_workspace(&conv),
        pack: ck_bf16_direct_pack_backward, run: { ck_bf16_direct_backward_data($0, $1.x, $2, $4, $5, $6) }),
      weightGradient: .init(
        scratch: ck_bf16_direct_backward_weights_workspace(&conv), run: ck_bf16_direct_backward_weights))
  }
}
