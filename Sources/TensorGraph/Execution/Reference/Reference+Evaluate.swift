/// The definitions of the operators, as loops over row-major arrays of 64-bit numbers.
enum Reference {
  /// An operand: its shape and its elements in row-major order.
  struct Value {
    var shape: Shape
    var elements: [Double]
  }

  /// The results of `op`, each with the shape that its shape rule gave.
  static func evaluate(_ op: Op, _ x: [Value], results: [Shape]) throws(ExecutionError) -> [[Double]] {
    let y = results[0]
    switch op {
    case .input, .state: preconditionFailure("\(op.name) is given, not computed")
    case .constant(let scalars): return [scalars.map(Double.init)]

    case .unary(let function): return [x[0].elements.map { function($0) }]
    case .binary(let function): return [binary(function, x[0], x[1], to: y)]
    case .toFloat, .detach, .allReduceMean, .reshape: return [x[0].elements]

    case .matmul(let transposeA, let transposeB): return [matmul(x[0], transposeA, x[1], transposeB, to: y)]
    case .convolution(let convolution):
      return [Reference.convolution(convolution, x[0], kernel: x[1], bias: x.dropFirst(2).first, to: y)]
    case .convolutionInputGradient(let convolution, _):
      return [convolutionInputGradient(convolution, dy: x[0], kernel: x[1], to: y)]
    case .convolutionWeightGradient(let convolution, _, let bias):
      return convolutionWeightGradient(convolution, x[0], dy: x[1], bias: bias, to: y)

    case .groupNorm(let norm):
      return groupNorm(norm, x[0], gamma: x[1].elements, beta: x[2].elements, shift: x.dropFirst(3).first?.elements)
    case .groupNormGradient(let norm):
      return groupNormGradient(
        norm, dy: x[0].elements, x[1], gamma: x[2].elements, beta: x[3].elements, mean: x[4].elements,
        rstd: x[5].elements, shift: x.dropFirst(6).first?.elements)
    case .softmax: return [softmax(x[0])]
    case .attention(let attention): return Reference.attention(attention, q: x[0], k: x[1], v: x[2])
    case .attentionGradient(let attention):
      return attentionGradient(
        attention, dOutput: x[0], q: x[1], k: x[2], v: x[3], output: x[4], logSumExp: x[5].elements)

    case .transpose(let permutation): return [transpose(x[0], permutation, to: y)]
    case .concat(let axis): return [concat(x, axis: axis, to: y)]
    case .slice(let axis, let from, _): return [slice(x[0], axis: axis, from: from, to: y)]
    case .pad(let axis, let before, _): return [pad(x[0], axis: axis, before: before, to: y)]
    case .broadcast: return [broadcast(x[0], to: y)]
    case .upsampleNearest(let factor): return [upsampleNearest(x[0], factor, to: y)]
    case .averagePool(let factor): return [averagePool(x[0], factor, to: y)]

    case .sum(let axes, _): return [sum(x[0], axes: axes)]
    case .sumOfSquares: return [[x.reduce(0) { $0 + $1.elements.reduce(0) { $0 + $1 * $1 } }]]

    case .gatherRows: return [try gatherRows(table: x[0], indices: x[1], to: y)]
    case .scatterAddRows: return [try scatterAddRows(x[0], indices: x[1], to: y)]
    case .sinusoidalEmbedding(let embedding): return [sinusoidalEmbedding(embedding, x[0])]

    case .gaussianNoise(let sample, let stream):
      return [gaussianNoise(counters: x[0], key: x[1], sample: sample, stream: stream)]
    case .dropoutMask(let sample, let rate, let stream):
      return [dropoutMask(counters: x[0], key: x[1], sample: sample, rate: rate, stream: stream)]

    case .adam(let adam):
      return Reference.adam(
        adam, p: x[0].elements, g: x[1].elements, m: x[2].elements, v: x[3].elements, ema: x[4].elements,
        schedule: x[5].elements)
    }
  }
}
