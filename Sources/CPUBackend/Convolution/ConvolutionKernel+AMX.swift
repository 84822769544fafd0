import CKernels
import TensorGraph

extension ConvolutionKernel {
  /// Split bf16 on AMX tiles, or plain where it `rounds`: blocked channels, kernels of 1 or 3.
  static func amx(_ problem: ConvolutionProblem, rounds: Bool) -> ConvolutionKernel? {
    guard ck_amx_available() != 0, problem.isBlocked, let conv = problem.amxDescription(rounds: rounds) else {
      return nil
    }
    let name = rounds ? "amx bfloat16" : "amx"
    var description = conv
    guard ck_amx_conv_supported(&description) != 0 else { return nil }

    /// Calls `body` with the C form of the prologue, or nil.
    func withPrologue(_ prologue: Prologue?, _ body: (UnsafePointer<ck_conv_prologue>?) -> Void) {
      guard let prologue else { return body(nil) }
      withUnsafePointer(
        to: ck_conv_prologue(scale: prologue.scale, shift: prologue.shift, silu: prologue.silu ? 1 : 0), body)
    }

    switch problem.direction {
    case .forward:
      return ConvolutionKernel(
        algorithm: .amx, name: name, packedByteCount: ck_amx_conv_forward_weights_size(&description),
        scratchByteCount: ck_amx_conv_forward_scratch(&description), takesPrologue: true,
        pack: { w, packed, _ in withUnsafePointer(to: conv) { ck_amx_conv_pack_forward($0, w, packed) } },
        run: { o, scratch in
          withPrologue(o.prologue) { prologue in
            withUnsafePointer(to: conv) {
              ck_amx_conv_forward($0, o.target, o.source, prologue, o.weights, o.bias, o.addend, scratch)
            }
          }
        })
    case .inputGradient:
      return ConvolutionKernel(
        algorithm: .amx, name: name, packedByteCount: ck_amx_conv_backward_weights_size(&description),
        scratchByteCount: ck_amx_conv_backward_data_scratch(&description),
        pack: { w, packed, _ in withUnsafePointer(to: conv) { ck_amx_conv_pack_backward($0, w, packed) } },
        run: { o, scratch in
          withUnsafePointer(to: conv) {
            ck_amx_conv_backward_data($0, o.target, o.source, o.weights, o.addend, scratch)
          }
        })
    case .weightGradient:
      return ConvolutionKernel(
        algorithm: .amx, name: name, scratchByteCount: ck_amx_conv_backward_weights_scratch(&description),
        takesPrologue: true,
        run: { o, scratch in
          withPrologue(o.prologue) { prologue in
            withUnsafePointer(to: conv) {
              ck_amx_conv_backward_weights(
                $0, o.target, o.biasGradient, o.source, prologue, o.weights.floats, scratch
              )
            }
          }
        })
    }
  }
}

extension ConvolutionProblem {
  /// The kernels' form of the problem; nil where paddings or kernel are not square.
  fileprivate func amxDescription(rounds: Bool) -> ck_conv? {
    let padding = convolution.padding
    guard kernel[2] == kernel[3], padding.top == padding.left, padding.bottom == padding.right else { return nil }
    return ck_conv(
      N: input[0], Ci: kernel[1], Co: kernel[0], H: input[2], W: input[3], K: kernel[2], stride: convolution.stride,
      pad_low: padding.top, pad_high: padding.bottom, rounds: rounds ? 1 : 0)
  }
}
