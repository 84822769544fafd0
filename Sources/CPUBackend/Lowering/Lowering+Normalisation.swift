import CKernels
import TensorGraph

/// A norm whose statistics are known but whose result is not written: act(x · scale + shift), scale and shift (N, C).
struct DeferredNorm {
  var x: Buffer
  var scale: Buffer
  var shift: Buffer
  var silu: Bool
}

extension Lowering {
  /// - Parameter rough: whether all that reads the result rounds it to bfloat16.
  private func kernel(_ norm: GroupNorm, _ x: Shape, _ layout: Layout, rough: Bool = false) -> ck_group_norm {
    ck_group_norm(
      samples: x[0], channels: x[1], pixels: x.dimensions.dropFirst(2).reduce(1, *), groups: norm.groups,
      epsilon: Float(norm.epsilon),
      activation: !norm.silu ? CK_ACTIVATION_NONE : rough ? CK_ACTIVATION_ROUGH_SILU : CK_ACTIVATION_SILU,
      format: layout.format)
  }

  func lowerGroupNorm(_ node: Program.Node, _ norm: GroupNorm) {
    if canDefer(node) { return lowerDeferredNorm(node, norm) }
    let parts = parts(of: node.operands[0])
    let layout = parts == nil ? nativeLayout(node.operands[0]) : .blocked
    let rough = !lifetimes.isKept[node.results[0]] && areReaders(of: node.results[0]) { $0.algorithm == .bfloat16 }
    var description = kernel(norm, shape(node.operands[0]), layout, rough: rough)
    let x = parts?.x ?? form(node.operands[0], layout)
    let (gamma, beta) = (plain(node.operands[1]), plain(node.operands[2]))
    let shift = node.operands.count == 4 ? plain(node.operands[3]) : nil
    let y = result(node.results[0], layout)
    let (mean, rstd) = (result(node.results[1]), result(node.results[2]))
    emit(
      Step(
        label: norm.silu ? "groupNorm+silu" : "groupNorm",
        reads: [x, gamma, beta] + [parts?.rest, shift].compactMap { $0 }, writes: [y, mean, rstd],
        scratch: ck_group_norm_workspace(&description) * MemoryLayout<Float>.stride,
        inPlace: parts == nil ? (y, x) : nil
      ) { scratch in
        let x = ck_parts(x: x.floats, rest: parts?.rest.floats, first: parts?.after ?? 0)
        withUnsafePointer(to: description) {
          ck_group_norm_forward_of_parts(
            $0, x, shift?.floats, gamma.floats, beta.floats, y.floats, mean.floats, rstd.floats,
            scratch.floats)
        }
      })
  }

  // MARK: Norms that convolutions apply as they read

  /// Whether all that reads the norm's result are convolutions that can normalise their input on the way: then the result is
  /// never written to memory, forward or backward.
  private func canDefer(_ node: Program.Node) -> Bool {
    let y = node.results[0]
    guard parts(of: node.operands[0]) == nil, nativeLayout(node.operands[0]) == .blocked, shape(y).rank == 4,
      !lifetimes.isKept[y]
    else { return false }
    return areReaders(of: y, \.takesPrologue)
  }

  /// Whether all that reads a value are convolutions of this kind, which read it as their input alone.
  private func areReaders(of id: Program.ValueID, _ areSuch: (ConvolutionKernel) -> Bool) -> Bool {
    lifetimes.readers[id].allSatisfy { convolution(program.nodes[$0], reading: id).map(areSuch) ?? false }
  }

  private func lowerDeferredNorm(_ node: Program.Node, _ norm: GroupNorm) {
    let input = shape(node.operands[0])
    var description = kernel(norm, input, .blocked)
    let x = form(node.operands[0], .blocked)
    let (gamma, beta) = (plain(node.operands[1]), plain(node.operands[2]))
    let shift = node.operands.count == 4 ? plain(node.operands[3]) : nil
    let (mean, rstd) = (result(node.results[1]), result(node.results[2]))
    let coefficientBytes = input[0] * input[1] * MemoryLayout<Float>.stride
    let (scale, offset) = (memory(byteCount: coefficientBytes), memory(byteCount: coefficientBytes))
    emit(
      Step(
        label: "groupNorm statistics", reads: [x, gamma, beta] + (shift.map { [$0] } ?? []),
        writes: [mean, rstd, scale, offset],
        scratch: ck_group_norm_workspace(&description) * MemoryLayout<Float>.stride
      ) { scratch in
        withUnsafePointer(to: description) {
          ck_group_norm_statistics(
            $0, x.floats, shift?.floats, gamma.floats, beta.floats, mean.floats, rstd.floats, scale.floats,
            offset.floats, scratch.floats)
        }
      })
    deferNorm(node.results[0], DeferredNorm(x: x, scale: scale, shift: offset, silu: norm.silu))
  }

  /// `addend` is added to dx, which then is `target`.
  func lowerGroupNormGradient(
    _ node: Program.Node, _ norm: GroupNorm, adding addend: Program.ValueID?, to target: Program.ValueID
  ) {
    let (upstream, input) = (node.operands[0], node.operands[1])
    let layout = commonLayout(upstream, input)
    var description = kernel(norm, shape(input), layout)
    let (dy, x) = (form(upstream, layout), form(input, layout))
    let (gamma, beta) = (plain(node.operands[2]), plain(node.operands[3]))
    let (mean, rstd) = (plain(node.operands[4]), plain(node.operands[5]))
    let shift = node.operands.count == 7 ? plain(node.operands[6]) : nil
    let add = addend.map { form($0, layout) }
    let dx = result(target, layout)
    let (dgamma, dbeta) = (result(node.results[1]), result(node.results[2]))
    let dshift = shift == nil ? nil : result(node.results[3])
    emit(
      Step(
        label: norm.silu ? "groupNorm+silu gradient" : "groupNorm gradient",
        reads: [dy, x, gamma, beta, mean, rstd] + [shift, add].compactMap { $0 },
        writes: [dx, dgamma, dbeta] + (dshift.map { [$0] } ?? []),
        scratch: ck_group_norm_workspace(&description) * MemoryLayout<Float>.stride, inPlace: (dx, dy)
      ) { scratch in
        withUnsafePointer(to: description) {
          ck_group_norm_backward(
            $0, x.floats, shift?.floats, gamma.floats, beta.floats, mean.floats, rstd.floats, dy.floats, add?.floats,
            dx.floats, dgamma.floats, dbeta.floats, dshift?.floats, scratch.floats)
        }
      })
  }

  func lowerSoftmax(_ node: Program.Node) {
    let x = plain(node.operands[0])
    let y = result(node.results[0])
    let shape = shape(node.results[0])
    let width = shape[shape.rank - 1]
    emit(
      Step(label: "softmax", reads: [x], writes: [y], inPlace: (y, x)) { _ in
        ck_softmax(x.floats, y.floats, shape.count / width, width, 1)
      })
  }
}
