import TensorGraph

/// What numbers are stored and multiplied as.
public enum XLAPrecision: String, Sendable, CaseIterable {
  /// 32 bits throughout.
  case float32
  /// 32 bits stored; the factors of products may be TF32 (NVIDIA) or bfloat16 (TPU).
  case fast32
  /// Images and factors of 16 bits, sums of 32; parameters, statistics, losses and the optimiser keep 32.
  case bfloat16
}

package struct LoweringOptions: Hashable, Sendable {
  var precision: XLAPrecision
  /// Devices that run the program, each on its part of a batch.
  var replicas: Int

  package init(precision: XLAPrecision = .float32, replicas: Int = 1) {
    (self.precision, self.replicas) = (precision, replicas)
  }
}

/// Writes each operator of a program as operators of StableHLO.
///
/// N, C, H, W stays the logical order of images everywhere: the compiler chooses the order in memory.
final class Lowering {
  let program: Program
  let options: LoweringOptions
  let writer = HLOWriter()
  var values: [HLOValue?]
  /// Whether `rounded` was used.
  var takesZero = false

  init(_ program: Program, _ options: LoweringOptions) {
    self.program = program
    self.options = options
    values = [HLOValue?](repeating: nil, count: program.types.count)
  }

  /// Writes every node; inputs and states must have values.
  func lowerNodes() {
    for (index, node) in program.nodes.enumerated() {
      writer.node = index
      switch node.op {
      case .input, .state: continue
      default: break
      }
      let results = lower(node.op, node.operands.map(value), program.types[node.results[0]].shape.dimensions)
      for (id, result) in zip(node.results, results) {
        precondition(
          result.shape == program.types[id].shape.dimensions,
          "\(node.op.name) gave \(result.type.text), not \(program.types[id])")
        values[id] = result
      }
    }
  }

  func value(_ id: Program.ValueID) -> HLOValue {
    guard let value = values[id] else { preconditionFailure("%\(id) is used before it is computed") }
    return value
  }

  /// The results of `op`, of which the first has shape `y`.
  private func lower(_ op: Op, _ x: [HLOValue], _ y: [Int]) -> [HLOValue] {
    switch op {
    case .input, .state: preconditionFailure("\(op.name) is given, not computed")
    case .constant(let scalars): return [writer.constant(scalars, y)]
    case .unary(let function): return [unary(function, x[0])]
    case .binary(let function): return [binary(function, x[0], x[1], to: y)]
    case .toFloat: return [x[0].converted(to: .f32)]
    case .detach: return [x[0]]

    case .matmul(let transposeA, let transposeB): return [matmul(x[0], transposeA, x[1], transposeB)]
    case .convolution(let c): return [convolution(c, x[0], kernel: x[1], bias: x.dropFirst(2).first, to: y)]
    case .convolutionInputGradient(let c, _): return [convolutionInputGradient(c, dy: x[0], kernel: x[1], to: y)]
    case .convolutionWeightGradient(let c, _, let bias):
      let dw = convolutionWeightGradient(c, x[0], dy: x[1], to: y)
      return bias ? [dw, wide(x[1]).sum([0, 2, 3])] : [dw]

    case .groupNorm(let norm): return groupNorm(norm, x[0], γ: x[1], β: x[2], shift: x.dropFirst(3).first)
    case .groupNormGradient(let norm):
      return groupNormGradient(
        norm, dy: x[0], x[1], γ: x[2], β: x[3], mean: x[4], rstd: x[5], shift: x.dropFirst(6).first)
    case .softmax: return [softmax(wide(x[0]))]
    case .attention(let attention): return self.attention(attention, q: x[0], k: x[1], v: x[2])
    case .attentionGradient(let attention):
      return attentionGradient(attention, dO: x[0], q: x[1], k: x[2], v: x[3], o: x[4], logSumExp: x[5])

    case .reshape: return [x[0].reshaped(y)]
    case .transpose(let permutation): return [x[0].transposed(permutation)]
    case .concat(let axis):
      let isNarrow = x.allSatisfy { $0.element == .bf16 }
      return [writer.concatenate(isNarrow ? x : x.map(wide), axis: axis)]
    case .slice(let axis, let from, let to): return [x[0].sliced(axis: axis, from..<to)]
    case .pad(let axis, let before, let after): return [x[0].padded(axis: axis, before: before, after: after)]
    case .broadcast: return [x[0].broadcast(y)]
    case .upsampleNearest(let k):
      let s = x[0].shape
      return [x[0].broadcast([s[0], s[1], s[2], k, s[3], k], axes: [0, 1, 2, 4]).reshaped(y)]
    case .averagePool(let k):
      let s = x[0].shape
      let blocks = wide(x[0]).reshaped([s[0], s[1], s[2] / k, k, s[3] / k, k])
      return [(blocks.sum([3, 5]) * (1 / Double(k * k))).converted(to: x[0].element)]

    case .sum(let axes, _): return [wide(x[0]).sum(axes).reshaped(y)]
    case .sumOfSquares: return [sumOfSquares(x)]

    case .gatherRows: return [x[0].gatheredRows(x[1])]
    case .scatterAddRows(let count): return [wide(x[0]).scatteredRows(x[1], count: count)]
    case .sinusoidalEmbedding(let embedding): return [sinusoidalEmbedding(embedding, wide(x[0]))]

    case .gaussianNoise(let sample, let stream):
      return [gaussianNoise(counters: x[0], key: x[1], sample: sample, stream: stream)]
    case .dropoutMask(let sample, let rate, let stream):
      return [dropoutMask(counters: x[0], key: x[1], sample: sample, rate: rate, stream: stream)]

    case .allReduceMean:
      let n = options.replicas
      return [n == 1 ? x[0] : wide(x[0]).allReduced(replicas: n) * (1 / Double(n))]

    case .adam(let adam):
      return self.adam(adam, p: x[0], g: wide(x[1]), m: x[2], v: x[3], ema: x[4], schedule: x[5])
    }
  }

  // MARK: Precision

  /// What images and the factors of products are.
  var narrowElement: HLOType.Element { options.precision == .bfloat16 ? .bf16 : .f32 }
  var productPrecision: HLOPrecision { options.precision == .float32 ? .exact : .fast }

  func wide(_ x: HLOValue) -> HLOValue { x.converted(to: .f32) }
  func narrow(_ x: HLOValue) -> HLOValue { x.converted(to: narrowElement) }

  /// Σ x² over all elements of all operands. One long vector instead of a sum for each gradient is far fewer kernels; each gradient
  /// goes into it in the order in which it lies on the device.
  private func sumOfSquares(_ x: [HLOValue]) -> HLOValue {
    let vector = writer.concatenate(
      x.map { operand in
        StateStorage(TensorType(Shape(operand.shape))).storing(wide(operand)).reshaped([operand.type.count])
      }, axis: 0)
    return (vector * vector).sum([0])
  }
}
