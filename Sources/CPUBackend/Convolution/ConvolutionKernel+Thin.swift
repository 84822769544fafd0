import CKernels
import TensorGraph

extension ConvolutionKernel {
  /// Our product for a network's last layer: forward, 3×3, stride 1, padding 1, from blocked channels to at most three.
  static func thin(_ problem: ConvolutionProblem) -> ConvolutionKernel? {
    guard problem.direction == .forward, problem.inputLayout == .blocked,
      problem.kernel[0] <= CK_THIN_OUTPUTS, problem.isUnitThreeByThree
    else { return nil }
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
}
