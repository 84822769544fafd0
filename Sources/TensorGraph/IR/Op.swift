/// The operators of a tensor program.
///
/// A new operator is a new case here; the exhaustive switches lead to the rest: its name (`Op+Name`), its shape rule
/// (`Op+Shape`), its gradient (`GradientRules`), its reference implementation (`ReferenceBackend`), its CPU lowering
/// (`Lowering`), and the table of operator tests.
public enum Op: Hashable, Sendable {
  // MARK: Leaves
  /// A tensor given to every run, by name.
  case input(String)
  /// A tensor that persists between runs: a parameter, an optimiser moment, an average.
  case state(String)
  /// Known when the program is built.
  case constant([Float])

  // MARK: Element by element
  /// One operand.
  case unary(UnaryOp)
  /// Two operands, broadcast by NumPy's rule.
  case binary(BinaryOp)
  /// Integers to floating point.
  case toFloat
  /// The operand itself, as a constant for whoever differentiates.
  case detach

  // MARK: Linear algebra
  /// (…, M, K) × (…, K, N) → (…, M, N). Leading dimensions are equal, or absent in one operand.
  case matmul(transposeA: Bool, transposeB: Bool)
  /// x (N, Ci, H, W), w (Co, Ci, Kh, Kw), optional b (Co) → (N, Co, Ho, Wo).
  case convolution(Convolution)
  /// dy, w → dx of the given input shape.
  case convolutionInputGradient(Convolution, input: Shape)
  /// x, dy → dw of the given kernel shape, and db (Co) where there is a bias.
  case convolutionWeightGradient(Convolution, kernel: Shape, bias: Bool)

  // MARK: Normalisation and attention
  /// x (N, C, …), γ (C), β (C), optional shift (N, C) → y, mean (N, G), rstd (N, G).
  case groupNorm(GroupNorm)
  /// dy, x, γ, β, mean, rstd, optional shift → dx, dγ, dβ, and dshift where there is a shift.
  case groupNormGradient(GroupNorm)
  /// Along the last axis.
  case softmax
  /// q, k, v (N, heads·d, L) → o (N, heads·d, L), log-sum-exp of the scores (N, heads, L).
  case attention(Attention)
  /// do, q, k, v, o, log-sum-exp → dq, dk, dv.
  case attentionGradient(Attention)

  // MARK: Shape
  /// The same elements, in row-major order.
  case reshape(Shape)
  /// Axis i of the result is axis `permutation[i]` of the operand.
  case transpose([Int])
  /// Operands one after another along an axis.
  case concat(axis: Int)
  /// The indices from `from` up to but not `to`, along one axis.
  case slice(axis: Int, from: Int, to: Int)
  /// Zeros before and after, along one axis: the gradient of `slice`.
  case pad(axis: Int, before: Int, after: Int)
  /// Stretches dimensions of 1 (NumPy's rule).
  case broadcast(Shape)
  /// (N, C, H, W) → (N, C, kH, kW), every pixel repeated.
  case upsampleNearest(factor: Int)
  /// (N, C, H, W) → (N, C, H/k, W/k), the mean of k × k pixels. H and W are multiples of k.
  case averagePool(factor: Int)

  // MARK: Reductions
  /// The sum over `axes`, which disappear unless `keepDimensions`.
  case sum(axes: [Int], keepDimensions: Bool)
  /// Any number of tensors → the scalar sum of all their squared elements.
  case sumOfSquares

  // MARK: Lookup
  /// table (V, …), indices int32 (N) → (N, …). Embeddings, and the coefficients of each sample's timestep.
  case gatherRows
  /// rows (N, …), indices int32 (N) → (V, …): the gradient of `gatherRows`.
  case scatterAddRows(count: Int)
  /// t (N) → (N, dimension): sines and cosines of t at geometric frequencies.
  case sinusoidalEmbedding(SinusoidalEmbedding)

  // MARK: Randomness
  /// counters int32 (N, 2) as (sample, step), key int32 (2) → (N, …) standard normal numbers.
  case gaussianNoise(sample: Shape, stream: UInt32)
  /// counters int32 (N, 2), key int32 (2) → (N, …): 0 with probability `rate`, else 1 / (1 − rate).
  case dropoutMask(sample: Shape, rate: Double, stream: UInt32)

  // MARK: Several devices
  /// The mean over the devices that run the program, each on its part of a batch; the operand itself where there is one.
  case allReduceMean

  // MARK: Optimisation
  /// p, g, m, v, ema, schedule (5: learning rate, 1 − β₁ᵏ, 1 − β₂ᵏ, gradient scale, EMA decay) → p′, m′, v′, ema′.
  case adam(Adam)
}

/// Functions of one element.
public enum UnaryOp: Hashable, Sendable {
  case negate, reciprocal, square, squareRoot, reciprocalSquareRoot, absolute
  case exp, log, log1p, expm1, sin, cos, tanh, sigmoid, softplus
  case erf, erfc
  /// log Φ(x), the logarithm of the standard normal distribution function, accurate in both tails.
  case logNormalCDF
  case relu, silu, mish
  /// x Φ(x), exact (not the tanh approximation).
  case gelu
  /// 1 where x > 0, else 0. Its gradient is zero.
  case step
  /// The product with a number.
  case scale(Double)
  /// The sum with a number.
  case offset(Double)
  /// Gradient 1 within the bounds (both included) and 0 outside.
  case clamp(Double, Double)
}

/// Functions of two elements.
public enum BinaryOp: String, Hashable, Sendable, CaseIterable {
  case add, subtract, multiply, divide, maximum, minimum
}

/// How a kernel slides over an image.
public struct Convolution: Hashable, Sendable {
  /// Pixels from one place of the kernel to the next, both ways; at least 1.
  public var stride: Int
  /// Zeros around the image, at least 0 on each side.
  public var padding: Padding

  /// Checked where the operator is applied.
  public init(stride: Int = 1, padding: Padding = Padding(0)) {
    self.stride = stride
    self.padding = padding
  }

  /// Zeros around the image. The paper's downsampling pads right and bottom only.
  public struct Padding: Hashable, Sendable {
    /// Rows of zeros above and below, columns of zeros on the left and right.
    public var top: Int, left: Int, bottom: Int, right: Int

    /// As many on every side.
    public init(_ all: Int) { (top, left, bottom, right) = (all, all, all, all) }
    /// Rows above and below, columns on the left and right; at least 0 each.
    public init(top: Int, left: Int, bottom: Int, right: Int) {
      (self.top, self.left, self.bottom, self.right) = (top, left, bottom, right)
    }
  }

}

/// y = act(γ · (x + shift − mean) / √(variance + ε) + β), mean and variance over each group of channels (Wu & He 2018).
///
/// The shift and the activation are part of the operator because the U-Net always wants them together:
/// the time embedding enters inside the second norm of each residual block, and SiLU follows every norm.
public struct GroupNorm: Hashable, Sendable {
  /// G, a divisor of the channels.
  public var groups: Int
  /// ε, added to the variance.
  public var epsilon: Double
  /// Whether SiLU follows; else act is the identity.
  public var silu: Bool

  /// Checked where the operator is applied.
  public init(groups: Int, epsilon: Double, silu: Bool = false) {
    self.groups = groups
    self.epsilon = epsilon
    self.silu = silu
  }
}

/// softmax(scale · qᵀk) vᵀ for each head, with channels before positions as images have them.
public struct Attention: Hashable, Sendable {
  /// A divisor of the channels.
  public var heads: Int
  /// Multiplies the scores: 1 / √d in the paper.
  public var scale: Double

  /// - Parameter scale: multiplies the scores; 1 / √d, d the channels of one head, is usual.
  public init(heads: Int, scale: Double) {
    self.heads = heads
    self.scale = scale
  }
}

/// The embedding of a timestep (Vaswani et al. 2017, as diffusers' `get_timestep_embedding`):
/// angle i is t · maxPeriod^(−i / (dimension/2 − frequencyShift)).
public struct SinusoidalEmbedding: Hashable, Sendable {
  /// Features of a timestep: half of them sines, half cosines, and a 0 where it is odd.
  public var dimension: Int
  /// False: [sin, cos] as in the paper's code. True: [cos, sin].
  public var flipSinToCos: Bool
  /// 1 in the paper's code, 0 in diffusers' default.
  public var frequencyShift: Double
  /// The slowest angle is about t / maxPeriod.
  public var maxPeriod: Double

  /// - Parameter maxPeriod: 10,000 in the paper's code and in diffusers.
  public init(dimension: Int, flipSinToCos: Bool, frequencyShift: Double, maxPeriod: Double = 10_000) {
    self.dimension = dimension
    self.flipSinToCos = flipSinToCos
    self.frequencyShift = frequencyShift
    self.maxPeriod = maxPeriod
  }
}

/// Adam (Kingma & Ba 2015), with decoupled weight decay (Loshchilov & Hutter 2019) where it is not zero,
/// followed by the exponential moving average of the parameter.
public struct Adam: Hashable, Sendable {
  /// Decay of m, the mean of gradients.
  public var beta1: Double
  /// Decay of v, the mean of squared gradients.
  public var beta2: Double
  /// Added to √v, once the bias of v is corrected.
  public var epsilon: Double
  /// λ in p ← p − η λ p, apart from the gradient (AdamW); 0 for none.
  public var weightDecay: Double

  /// The defaults are PyTorch's, without decay.
  public init(beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8, weightDecay: Double = 0) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
  }

  /// The positions in the operator's last operand.
  public enum Schedule: Int, CaseIterable, Sendable {
    case learningRate, biasCorrection1, biasCorrection2, gradientScale, emaDecay
  }
}
