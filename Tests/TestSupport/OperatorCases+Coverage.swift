import TensorGraph

/// The operators by kind. The switches below do not compile without a new operator, and `everyOperatorIsInTheTable` then asks for its case.
public enum OperatorKind: String, CaseIterable, Sendable {
  case input, state, constant, unary, binary, toFloat, detach
  case matmul, convolution, convolutionInputGradient, convolutionWeightGradient
  case groupNorm, groupNormGradient, softmax, attention, attentionGradient
  case reshape, transpose, concat, slice, pad, broadcast, upsampleNearest, averagePool
  case sum, sumOfSquares, gatherRows, scatterAddRows, sinusoidalEmbedding
  case gaussianNoise, dropoutMask, allReduceMean, adam

  public init(_ op: Op) {
    self =
      switch op {
      case .input: .input
      case .state: .state
      case .constant: .constant
      case .unary: .unary
      case .binary: .binary
      case .toFloat: .toFloat
      case .detach: .detach
      case .matmul: .matmul
      case .convolution: .convolution
      case .convolutionInputGradient: .convolutionInputGradient
      case .convolutionWeightGradient: .convolutionWeightGradient
      case .groupNorm: .groupNorm
      case .groupNormGradient: .groupNormGradient
      case .softmax: .softmax
      case .attention: .attention
      case .attentionGradient: .attentionGradient
      case .reshape: .reshape
      case .transpose: .transpose
      case .concat: .concat
      case .slice: .slice
      case .pad: .pad
      case .broadcast: .broadcast
      case .upsampleNearest: .upsampleNearest
      case .averagePool: .averagePool
      case .sum: .sum
      case .sumOfSquares: .sumOfSquares
      case .gatherRows: .gatherRows
      case .scatterAddRows: .scatterAddRows
      case .sinusoidalEmbedding: .sinusoidalEmbedding
      case .gaussianNoise: .gaussianNoise
      case .dropoutMask: .dropoutMask
      case .allReduceMean: .allReduceMean
      case .adam: .adam
      }
  }
}

/// The functions of one element by kind, without their parameters.
public enum UnaryKind: String, CaseIterable, Sendable {
  case negate, reciprocal, square, squareRoot, reciprocalSquareRoot, absolute
  case exp, log, log1p, expm1, sin, cos, tanh, sigmoid, softplus, erf, erfc, logNormalCDF
  case relu, silu, mish, gelu, step, scale, offset, clamp

  public init(_ function: UnaryOp) {
    self =
      switch function {
      case .negate: .negate
      case .reciprocal: .reciprocal
      case .square: .square
      case .squareRoot: .squareRoot
      case .reciprocalSquareRoot: .reciprocalSquareRoot
      case .absolute: .absolute
      case .exp: .exp
      case .log: .log
      case .log1p: .log1p
      case .expm1: .expm1
      case .sin: .sin
      case .cos: .cos
      case .tanh: .tanh
      case .sigmoid: .sigmoid
      case .softplus: .softplus
      case .erf: .erf
      case .erfc: .erfc
      case .logNormalCDF: .logNormalCDF
      case .relu: .relu
      case .silu: .silu
      case .mish: .mish
      case .gelu: .gelu
      case .step: .step
      case .scale: .scale
      case .offset: .offset
      case .clamp: .clamp
      }
  }
}
