import CKernels
import TensorGraph

extension ConvolutionKernel {
  /// Our matrix products over all positions: every shape.
  static func direct(_ problem: ConvolutionProblem) -> ConvolutionKernel {
    var description = problem.directDescription
    let conv = description
    let float = MemoryLayout<Float>.stride
    func floats(_ raw: UnsafeMutableRawPointer) -> UnsafeMutablePointer<Float> {
      raw.assumingMemoryBound(to: Float.self)
    }

    switch problem.direction {
    case .forward:
      return ConvolutionKernel(
        algorithm: .direct, name: "direct", packedByteCount: ck_direct_forward_weights(&description) * float,
        scratchByteCount: ck_direct_forward_workspace(&description) * float,
        readsParts: problem.inputLayout == .blocked,
        pack: { w, packed, _ in withUnsafePointer(to: conv) { ck_direct_pack($0, w, floats(packed)) } },
        run: { o, scratch in
          withUnsafePointer(to: conv) {
            ck_direct_forward($0, o.parts, floats(o.weights), o.bias, o.addend, o.target, floats(scratch))
          }
        })
    case .inputGradient:
      return ConvolutionKernel(
        algorithm: .direct, name: "direct", packedByteCount: ck_direct_backward_data_weights(&description) * float,
        scratchByteCount: ck_direct_backward_data_workspace(&description) * float,
        pack: { w, packed, _ in withUnsafePointer(to: conv) { ck_direct_pack_backward($0, w, floats(packed)) } },
        run: { o, scratch in
          withUnsafePointer(to: conv) {
            ck_direct_backward_data($0, o.source, floats(o.weights), o.addend, o.target, floats(scratch))
          }
        })
    case .weightGradient:
      return ConvolutionKernel(
        algorithm: .direct, name: "direct",
        scratchByteCount: ck_direct_backward_weights_workspace(&description) * float,
        run: { o, scratch in
          withUnsafePointer(to: conv) {
            ck_direct_backward_weights($0, o.source, floats(o.weights), o.target, floats(scratch))
          }
          problem.sumBias(o)
        })
    }
  }
}

extension ConvolutionKernel.Operands {
  /// x, in one part or two.
  var parts: ck_parts { ck_parts(x: source, rest: rest?.x, first: rest?.after ?? 0) }
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
    let dy = o.weights.assumingMemoryBound(to: Float.self)
    ck_channel_sums(dy, db, output[0], output[1], output[2] * output[3], outputLayout == .blocked ? 1 : 0)
  }
}
