import CKernels
import TensorGraph

extension Lowering {
  private func kernel(_ attention: Attention, q: Shape, k: Shape, _ layout: Layout) -> ck_attention {
    let rounds = options.rounds && q[1] / attention.heads >= 16 && k[2] >= 16
    return ck_attention(
      samples: q[0], heads: attention.heads, head_channels: q[1] / attention.heads, queries: q[2], keys: k[2],
      scale: Float(attention.scale), format: layout.format, query_stride: 0, key_stride: 0, value_stride: 0,
      output_stride: 0, rounds: rounds ? 1 : 0)
  }

  /// Blocked memory serves where each head is whole blocks.
  private func layout(_ attention: Attention, _ q: Program.ValueID) -> Layout {
    let channels = shape(q)[1]
    return nativeLayout(q) == .blocked && (channels / attention.heads) % Layout.block == 0 ? .blocked : .plain
  }

  private func flops(_ attention: Attention, _ q: Shape, _ k: Shape) -> Double {
    4 * Double(q.count) * Double(k[2])
  }

  /// Whether AMX does it: from the sizes on at which packing pays. Below, scores fit in registers anyway.
  private func usesAMX(_ attention: Attention, _ q: Shape, _ k: Shape) -> Bool {
    options.allows(.amx) && q[1] / attention.heads >= 32 && k[2] >= 32
  }

  func lowerAttention(_ node: Program.Node, _ attention: Attention) {
    let layout = layout(attention, node.operands[0])
    let (qShape, kShape) = (shape(node.operands[0]), shape(node.operands[1]))
    var description = kernel(attention, q: qShape, k: kShape, layout)
    let amx = usesAMX(attention, qShape, kShape)
    let inputs = node.operands.map { form($0, layout) }
    let (o, logSumExp) = (result(node.results[0], layout), result(node.results[1]))
    emit(
      Step(
        label: amx ? "attention amx" : "attention", reads: inputs, writes: [o, logSumExp],
        scratch: amx
          ? ck_amx_attention_forward_scratch(&description)
          : ck_attention_forward_workspace(&description) * MemoryLayout<Float>.stride,
        flops: flops(attention, qShape, kShape)
      ) { scratch in
        let (q, k, v) = (inputs[0].floats, inputs[1].floats, inputs[2].floats)
        withUnsafePointer(to: description) {
          if amx {
            ck_amx_attention_forward($0, q, k, v, o.floats, logSumExp.floats, scratch)
          } else {
            ck_attention_forward(
              $0, q, k, v, o.floats, logSumExp.floats, scratch.floats)
          }
        }
      })
  }

  func lowerAttentionGradient(_ node: Program.Node, _ attention: Attention) {
    let layout = layout(attention, node.operands[1])
    let (qShape, kShape) = (shape(node.operands[1]), shape(node.operands[2]))
    var description = kernel(attention, q: qShape, k: kShape, layout)
    let amx = usesAMX(attention, qShape, kShape)
    let inputs = node.operands.prefix(5).map { form($0, layout) }
    let logSumExp = plain(node.operands[5])
    let results = node.results.map { result($0, layout) }
    emit(
      Step(
        label: amx ? "attention gradient amx" : "attention gradient", reads: inputs + [logSumExp], writes: results,
        scratch: amx
          ? ck_amx_attention_backward_scratch(&description)
          : ck_attention_backward_workspace(&description) * MemoryLayout<Float>.stride,
        flops: 2.5 * flops(attention, qShape, kShape)
      ) { scratch in
        let (dO, q, k, v, o) = (
          inputs[0].floats, inputs[1].floats, inputs[2].floats, inputs[3].floats, inputs[4].floats
        )
        let (dq, dk, dv) = (results[0].floats, results[1].floats, results[2].floats)
        withUnsafePointer(to: description) {
          if amx {
            ck_amx_attention_backward($0, q, k, v, o, logSumExp.floats, dO, dq, dk, dv, scratch)
          } else {
            ck_attention_backward(
              $0, q, k, v, o, logSumExp.floats, dO, dq, dk, dv, scratch.floats)
          }
        }
      })
  }
}
