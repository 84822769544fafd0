import TensorGraph

/// A convolution bound to an algorithm, ready to run on any memory of the right layouts.
///
/// Activations are blocked where their channels fill blocks and plain where not (`ConvolutionProblem.inputLayout` …);
/// weights and their gradients are in `kernelLayout`.
struct ConvolutionKernel {
  /// The addresses of one run. What a direction lacks is nil.
  struct Operands {
    /// x forward and for the weights' gradient, dy for the input's.
    var source: UnsafeMutablePointer<Float>
    /// Where x continues after so many channels, if it is in two parts; only where `readsParts`.
    var rest: (x: UnsafeMutablePointer<Float>, after: Int)?
    /// The weights, packed if `packedByteCount` is not 0; dy for the weights' gradient.
    var weights: UnsafeMutableRawPointer
    /// y, dx or dw.
    var target: UnsafeMutablePointer<Float>
    /// Forward only.
    var bias: UnsafeMutablePointer<Float>?
    /// What is added to y or dx.
    var addend: UnsafeMutablePointer<Float>?
    /// The weights' gradient only.
    var biasGradient: UnsafeMutablePointer<Float>?
    /// What is done to x as it is read; only where `takesPrologue`.
    var prologue: Prologue?
  }

  /// u = act(x · scale + shift), scale and shift (N, Ci): a group norm whose statistics are known.
  struct Prologue {
    var scale: UnsafeMutablePointer<Float>
    var shift: UnsafeMutablePointer<Float>
    var silu: Bool
  }

  var algorithm: ConvolutionAlgorithm
  /// The implementation, for profiles.
  var name: String
  /// Bytes of the weights in the algorithm's own form; 0 where they are used as they are.
  var packedByteCount = 0
  var scratchByteCount = 0
  var takesPrologue = false
  /// Whether x may be in two parts, as a concatenation's operands are.
  var readsParts = false
  /// Whether the weights, where they are not packed, are read as `Layout.roundedKernel`.
  var readsRounded = false
  /// Whether the target may be the addend's own memory.
  var addsInPlace = true
  var pack:
    (_ weights: UnsafeMutablePointer<Float>, _ packed: UnsafeMutableRawPointer, _ scratch: UnsafeMutableRawPointer)
      -> Void =
      { _, _, _ in }
  var run: (Operands, _ scratch: UnsafeMutableRawPointer) -> Void
}

extension ConvolutionKernel {
  /// The kernel that does `problem` by `algorithm`; nil where the algorithm or the processor cannot.
  ///
  /// - Parameter rounds: whether AMX rounds operands to bfloat16 instead of splitting them.
  static func make(
    _ problem: ConvolutionProblem, _ algorithm: ConvolutionAlgorithm, rounds: Bool = false
  ) -> ConvolutionKernel? {
    switch algorithm {
    case .amx: amx(problem, rounds: rounds)
    case .bfloat16: bfloat16(problem)
    case .winograd: winograd(problem)
    case .thin: thin(problem)
    case .direct: direct(problem)
    }
  }
}
