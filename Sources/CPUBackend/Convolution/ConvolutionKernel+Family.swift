import CKernels
import TensorGraph

extension ConvolutionKernel {
  /// Forward, and the gradient of the input, which has no bias.
  struct Product<Description> {
    /// Bytes of packed weights; 0 where they are used as they are.
    var weights: Int
    var scratch: Int
    var pack: (UnsafePointer<Description>, UnsafePointer<Float>, UnsafeMutableRawPointer) -> Void
    var readsParts = false
    /// (conv, x, weights, bias, addend, y, scratch)
    var run:
      (
        UnsafePointer<Description>, ck_parts, UnsafeRawPointer, UnsafePointer<Float>?, UnsafePointer<Float>?,
        UnsafeMutablePointer<Float>, UnsafeMutableRawPointer
      ) -> Void
  }

  struct WeightGradient<Description> {
    var scratch: Int
    /// (conv, x, dy, dw, scratch)
    var run:
      (
        UnsafePointer<Description>, UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>,
        UnsafeMutableRawPointer
      ) -> Void
  }

  /// The kernel of a family of C functions that share a description of the problem.
  static func family<Description>(
    _ problem: ConvolutionProblem, _ algorithm: ConvolutionAlgorithm, _ name: String, _ conv: Description,
    readsRounded: Bool = false, forward: Product<Description>, inputGradient: Product<Description>,
    weightGradient: WeightGradient<Description>
  ) -> ConvolutionKernel {
    guard problem.direction != .weightGradient else {
      return ConvolutionKernel(
        algorithm: algorithm, name: name, scratchByteCount: weightGradient.scratch,
        run: { o, scratch in
          withUnsafePointer(to: conv) { weightGradient.run($0, o.source, o.weights.floats, o.target, scratch) }
          problem.sumBias(o)
        })
    }
    let product = problem.direction == .forward ? forward : inputGradient
    return ConvolutionKernel(
      algorithm: algorithm, name: name, packedByteCount: product.weights, scratchByteCount: product.scratch,
      readsParts: product.readsParts, readsRounded: readsRounded,
      pack: { w, packed, _ in withUnsafePointer(to: conv) { product.pack($0, w, packed) } },
      run: { o, scratch in
        withUnsafePointer(to: conv) { product.run($0, o.parts, o.weights, o.bias, o.addend, o.target, scratch) }
      })
  }
}

extension ConvolutionKernel.Operands {
  /// x, in one part or two.
  fileprivate var parts: ck_parts { ck_parts(x: source, rest: rest?.x, first: rest?.after ?? 0) }
}
