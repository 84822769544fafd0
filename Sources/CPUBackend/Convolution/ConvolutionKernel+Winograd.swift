import CKernels
import TensorGraph

extension ConvolutionKernel {
  /// Our Winograd F(4×4, 3×3): 3×3, stride 1, padding 1, blocked channels.
  static func winograd(_ problem: ConvolutionProblem) -> ConvolutionKernel? {
    guard var description = problem.winogradDescription else { return nil }
    let float = MemoryLayout<Float>.stride
    let weights = ck_winograd_weights(&description) * float
    let conv = description
    func floats(_ raw: UnsafeMutableRawPointer) -> UnsafeMutablePointer<Float> {
      raw.assumingMemoryBound(to: Float.self)
    }

    switch problem.direction {
    case .forward:
      return ConvolutionKernel(
        algorithm: .winograd, name: "winograd", packedByteCount: weights,
        scratchByteCount: ck_winograd_forward_workspace(&description) * float,
        pack: { w, packed, _ in withUnsafePointer(to: conv) { ck_winograd_transform($0, w, floats(packed)) } },
        run: { o, scratch in
          withUnsafePointer(to: conv) {
            ck_winograd_forward($0, o.source, floats(o.weights), o.bias, o.addend, o.target, floats(scratch))
          }
        })
    case .inputGradient:
      return ConvolutionKernel(
        algorithm: .winograd, name: "winograd", packedByteCount: weights,
        scratchByteCount: ck_winograd_backward_data_workspace(&description) * float,
        pack: { w, packed, _ in withUnsafePointer(to: conv) { ck_winograd_transform_backward($0, w, floats(packed)) } },
        run: { o, scratch in
          withUnsafePointer(to: conv) {
            ck_winograd_backward_data($0, o.source, floats(o.weights), o.addend, o.target, floats(scratch))
          }
        })
    case .weightGradient:
      return ConvolutionKernel(
        algorithm: .winograd, name: "winograd",
        scratchByteCount: ck_winograd_backward_weights_workspace(&description) * float,
        run: { o, scratch in
          withUnsafePointer(to: conv) {
            ck_winograd_backward_weights($0, o.source, floats(o.weights), o.target, floats(scratch))
          }
          problem.sumBias(o)
        })
    }
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
