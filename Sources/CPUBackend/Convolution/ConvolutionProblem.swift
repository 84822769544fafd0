import TensorGraph

/// One convolution to be done: its sizes and its direction. What the tuner chooses an algorithm for.
struct ConvolutionProblem: Hashable {
  enum Direction: String {
    /// y = w ∗ x + b
    case forward
    /// dx = wᵀ ∗ dy
    case inputGradient
    /// dw = x ∗ dy, db = Σ dy
    case weightGradient
  }

  enum Weights: String {
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

  /// Names the problem in the tuner's cache: `forward 8x128x32x32 128x128x3x3 s1 p1,1,1,1`, and ` constant` or ` rounded` where the weights are.
  var key: String {
    let sizes = { (shape: Shape) in shape.dimensions.map(String.init).joined(separator: "x") }
    let p = convolution.padding
    return
      "\(direction) \(sizes(input)) \(sizes(kernel)) s\(convolution.stride) p\(p.top),\(p.left),\(p.bottom),\(p.right)"
      + (weights == .changing ? "" : " \(weights)")
  }
}

/// The ways to do a convolution, in the order of preference where nothing is timed.
public enum ConvolutionAlgorithm: String, CaseIterable, Sendable {
  /// Split bf16 on AMX tiles, errors near 4e-6; plain bf16 where that precision is asked for, errors near 2e-3.
  case amx
  /// Operands rounded to bfloat16 on AVX512-BF16, Winograd for 3×3 kernels and a matrix product for others; errors near 1e-2 and 2e-3. Only
  /// where that precision is asked for.
  case bfloat16
  /// Our Winograd F(4×4, 3×3) in FP32; errors near 1e-6.
  case winograd
  /// Our product for 3×3 kernels with at most three outputs, forward; errors near 1e-7.
  case thin
  /// oneDNN's direct algorithm: every shape.
  case direct
  /// oneDNN's Winograd: AVX-512, version 2 only; errors near 1e-5.
  case dnnlWinograd
}
