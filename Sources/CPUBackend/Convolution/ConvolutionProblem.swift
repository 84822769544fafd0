import TensorGraph

/// One convolution to be done: its sizes and its direction. What an algorithm is chosen for.
struct ConvolutionProblem: Hashable {
  enum Direction {
    /// y = w ∗ x + b
    case forward
    /// dx = wᵀ ∗ dy
    case inputGradient
    /// dw = x ∗ dy, db = Σ dy
    case weightGradient
  }

  enum Weights {
    /// Packed in every run.
    case changing
    /// No run changes them: they are packed once.
    case constant
    /// Constant, and kept in 16 bits.
    case rounded
  }

  var direction: Direction
  /// (N, Ci, H, W)
  var input: Shape
  /// (Co, Ci, Kh, Kw)
  var kernel: Shape
  /// (N, Co, Ho, Wo)
  var output: Shape
  var convolution: Convolution
  var weights: Weights

  init(
    _ direction: Direction, input: Shape, kernel: Shape, output: Shape, _ convolution: Convolution,
    weights: Weights = .changing
  ) {
    self.direction = direction
    self.input = input
    self.kernel = kernel
    self.output = output
    self.convolution = convolution
    self.weights = weights
  }

  /// Multiplications and additions of the direct algorithm, the same in all three directions.
  var flops: Double { 2 * Double(output.count) * Double(kernel.count / kernel[0]) }

  /// Whether both channel counts fill whole blocks.
  var isBlocked: Bool { kernel[0] % Layout.block == 0 && kernel[1] % Layout.block == 0 }

  /// Whether it is 3×3, of stride 1 and padding 1.
  var isUnitThreeByThree: Bool {
    kernel.dimensions.suffix(2) == [3, 3] && convolution == Convolution(stride: 1, padding: .init(1))
  }

  /// Whether an image is so small that weights are read for one tile of it: constant ones, packed to 16 bits for a direct algorithm, are half
  /// of what Winograd reads. By the image alone, so that a sample does not depend on its batch.
  var isOneTile: Bool { weights != .changing && input[2] <= 4 && input[3] <= 4 }

  var inputLayout: Layout { kernel[1] % Layout.block == 0 ? .blocked : .plain }
  var outputLayout: Layout { kernel[0] % Layout.block == 0 ? .blocked : .plain }
  var kernelLayout: Layout { isBlocked ? .blockedKernel : .plain }

  /// For profiles: `forward 128→256 3×3 @32`.
  var label: String {
    let stride = convolution.stride == 1 ? "" : " /\(convolution.stride)"
    return "\(direction) \(kernel[1])→\(kernel[0]) \(kernel[2])×\(kernel[3])\(stride) @\(output[2])"
  }
}

/// The ways to do a convolution, in the order of preference.
public enum ConvolutionAlgorithm: CaseIterable, Sendable {
  /// Split bf16 on AMX tiles, errors near 4e-6; plain bf16 where that precision is asked for, errors near 2e-3.
  case amx
  /// Operands rounded to bfloat16 on AVX512-BF16, Winograd for 3×3 kernels and a matrix product for others; errors near 1e-2 and 2e-3. Only
  /// where that precision is asked for.
  case bfloat16
  /// Our Winograd F(4×4, 3×3) in FP32; errors near 1e-6.
  case winograd
  /// 3×3 kernels with at most three outputs: one product for all taps, and for the weights' gradient that of a convolution whose inputs and
  /// outputs are exchanged; errors near 1e-7.
  case thin
  /// By its definition, a matrix product over all positions: every shape; errors near 1e-7.
  case direct
}
