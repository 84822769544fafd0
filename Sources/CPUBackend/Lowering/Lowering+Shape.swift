import CKernels
import TensorGraph

extension Lowering {
  /// A view: no step at all.
  func lowerDetach(_ node: Program.Node) {
    let layout = nativeLayout(node.operands[0])
    let source = form(node.operands[0], layout)
    define(node.results[0], layout, Buffer(byteCount: source.byteCount, home: .view(of: source, offset: 0)))
  }

  /// A view: no step at all.
  func lowerReshape(_ node: Program.Node) {
    let (x, y) = (node.operands[0], node.results[0])
    let (from, to) = (shape(x), shape(y))
    // Samples, channels and positions stay what they are: blocked memory stays valid.
    let keepsBlocks =
      nativeLayout(x) == .blocked && canBlock(to) && from.dimensions.prefix(2) == to.dimensions.prefix(2)
    let layout: Layout = keepsBlocks ? .blocked : .plain
    let source = form(x, layout)
    define(y, layout, Buffer(byteCount: source.byteCount, home: .view(of: source, offset: 0)))
  }

  func lowerTranspose(_ node: Program.Node, _ permutation: [Int]) {
    let x = plain(node.operands[0])
    let from = shape(node.operands[0])
    let y = result(node.results[0])
    emit(
      Step(label: "transpose", reads: [x], writes: [y]) { _ in
        ck_transpose(x.floats, y.floats, Int32(from.rank), from.dimensions, permutation)
      })
  }

  // MARK: Parts along an axis

  /// A part along an axis is the same range of each of `count` rows; `inner` elements lie between neighbours on the axis.
  private func rows(_ shape: Shape, _ axis: Int) -> (count: Int, inner: Int) {
    (shape.dimensions.prefix(axis).reduce(1, *), shape.dimensions.dropFirst(axis + 1).reduce(1, *))
  }

  /// Whether blocked memory can be cut at `cuts` along `axis`: between samples, or between blocks of channels.
  private func canCutBlocked(_ axis: Int, _ cuts: [Int]) -> Bool {
    axis == 0 || (axis == 1 && cuts.allSatisfy { $0 % Layout.block == 0 })
  }

  func lowerConcat(_ node: Program.Node, _ axis: Int) {
    let y = node.results[0]
    if axis == 1, canStayInParts(node) {
      let parts = node.operands.map { form($0, .blocked) }
      return leaveInParts(y, x: parts[0], rest: parts[1], after: shape(node.operands[0])[1])
    }
    let whole = shape(y)
    let blocked =
      canBlock(whole) && node.operands.contains { nativeLayout($0) == .blocked }
      && node.operands.allSatisfy { canBlock(shape($0)) } && axis <= 1
    let layout: Layout = blocked ? .blocked : .plain
    let (count, inner) = rows(whole, axis)
    let target = memory(byteCount: whole.count * MemoryLayout<Float>.stride)
    let parts = node.operands.map { (buffer: form($0, layout), width: shape($0)[axis] * inner) }
    define(y, layout, target)
    let width = whole[axis] * inner
    emit(
      Step(label: "concat", reads: parts.map(\.buffer), writes: [target]) { _ in
        var start = 0
        for part in parts {
          ck_copy_rows(part.buffer.floats, part.width, target.floats + start, width, count, part.width)
          start += part.width
        }
      })
  }

  /// Whether all that reads the channels of the two operands together can read them where they are.
  private func canStayInParts(_ node: Program.Node) -> Bool {
    let (y, first) = (node.results[0], shape(node.operands[0])[1])
    guard node.operands.count == 2, !lifetimes.isKept[y], !isFrozen(y),
      node.operands.allSatisfy({ canBlock(shape($0)) && nativeLayout($0) == .blocked })
    else { return false }
    return lifetimes.readers[y].allSatisfy { reader in
      let node = program.nodes[reader]
      if case .groupNorm = node.op { return node.operands[0] == y && !node.operands.dropFirst().contains(y) }
      return readsParts(node, y, after: first)
    }
  }

  func lowerSlice(_ node: Program.Node, _ axis: Int, _ from: Int, _ to: Int) {
    let (x, y) = (node.operands[0], node.results[0])
    let whole = shape(x)
    let layout: Layout = nativeLayout(x) == .blocked && canCutBlocked(axis, [from, to]) ? .blocked : .plain
    let source = form(x, layout)
    let (count, inner) = rows(whole, axis)
    let (start, part, width) = (from * inner, (to - from) * inner, whole[axis] * inner)
    if count == 1 {
      let stride = MemoryLayout<Float>.stride
      define(y, layout, Buffer(byteCount: part * stride, home: .view(of: source, offset: start * stride)))
      return
    }
    let target = result(y, layout)
    emit(
      Step(label: "slice", reads: [source], writes: [target]) { _ in
        ck_copy_rows(source.floats + start, width, target.floats, part, count, part)
      })
  }

  func lowerPad(_ node: Program.Node, _ axis: Int, _ before: Int) {
    let (x, y) = (node.operands[0], node.results[0])
    let (part, whole) = (shape(x), shape(y))
    let blocked =
      nativeLayout(x) == .blocked && canBlock(whole) && canCutBlocked(axis, [before, before + part[axis], whole[axis]])
    let layout: Layout = blocked ? .blocked : .plain
    let source = form(x, layout)
    let target = result(y, layout)
    let (count, inner) = rows(whole, axis)
    let (start, run, width) = (before * inner, part[axis] * inner, whole[axis] * inner)
    let total = whole.count
    emit(
      Step(label: "pad", reads: [source], writes: [target]) { _ in
        ck_fill(target.floats, total, 0)
        ck_copy_rows(source.floats, run, target.floats + start, width, count, run)
      })
  }

  // MARK: Resolution

  func lowerUpsample(_ node: Program.Node, _ factor: Int) {
    resample(node, "upsampleNearest") { x, y, planes, from, format in
      ck_upsample_nearest(x, y, planes, from[2], from[3], factor, format)
    }
  }

  func lowerAveragePool(_ node: Program.Node, _ factor: Int) {
    resample(node, "averagePool") { x, y, planes, from, format in
      ck_average_pool(x, y, planes, from[2], from[3], factor, format)
    }
  }

  private func resample(
    _ node: Program.Node, _ label: String,
    _ kernel: @escaping (UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int, Shape, ck_format) -> Void
  ) {
    let layout = nativeLayout(node.operands[0])
    let from = shape(node.operands[0])
    let x = form(node.operands[0], layout)
    let y = result(node.results[0], layout)
    let planes = from[0] * (layout == .blocked ? from[1] / Layout.block : from[1])
    emit(Step(label: label, reads: [x], writes: [y]) { _ in kernel(x.floats, y.floats, planes, from, layout.format) })
  }
}

extension Layout {
  /// The kernels' name for it.
  var format: ck_format { self == .blocked ? CK_BLOCKED : CK_PLAIN }
}
