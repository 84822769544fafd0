extension Op {
  /// The operator's name, as error messages, profiles and plans print it.
  public var name: String {
    switch self {
    case .input(let name): "input \(name)"
    case .state(let name): "state \(name)"
    case .constant: "constant"
    case .unary(let function): function.name
    case .binary(let function): function.rawValue
    case .toFloat: "toFloat"
    case .detach: "detach"
    case .matmul: "matmul"
    case .convolution: "convolution"
    case .convolutionInputGradient: "convolutionInputGradient"
    case .convolutionWeightGradient: "convolutionWeightGradient"
    case .groupNorm: "groupNorm"
    case .groupNormGradient: "groupNormGradient"
    case .softmax: "softmax"
    case .attention: "attention"
    case .attentionGradient: "attentionGradient"
    case .reshape: "reshape"
    case .transpose: "transpose"
    case .concat: "concat"
    case .slice: "slice"
    case .pad: "pad"
    case .broadcast: "broadcast"
    case .upsampleNearest: "upsampleNearest"
    case .averagePool: "averagePool"
    case .sum: "sum"
    case .sumOfSquares: "sumOfSquares"
    case .gatherRows: "gatherRows"
    case .scatterAddRows: "scatterAddRows"
    case .sinusoidalEmbedding: "sinusoidalEmbedding"
    case .gaussianNoise: "gaussianNoise"
    case .dropoutMask: "dropoutMask"
    case .allReduceMean: "allReduceMean"
    case .adam: "adam"
    }
  }
}

extension UnaryOp {
  /// As error messages, profiles and plans print it, without its numbers.
  public var name: String {
    switch self {
    case .scale: "scale"
    case .offset: "offset"
    case .clamp: "clamp"
    default: "\(self)"
    }
  }
}
