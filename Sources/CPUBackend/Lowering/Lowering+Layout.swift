import CKernels
import TensorGraph

extension Lowering {
  /// The layout from which a tensor in layout `from` is best brought into `to`: between two others the way leads through the plain one, and
  /// from rounded ones through those of 32 bits.
  func origin(of to: Layout, from: Layout) -> Layout {
    switch (from, to) {
    case (.plain, _), (.roundedKernel, .blockedKernel): from
    case (.roundedKernel, _): .blockedKernel
    case (_, .plain): from
    default: .plain
    }
  }

  /// The step that changes a tensor's layout, in one of the ways that `origin` names.
  func conversion(of shape: Shape, from source: Buffer, _ from: Layout, to target: Buffer, _ to: Layout) -> Step {
    let (n, c) = (shape[0], shape.rank > 1 ? shape[1] : 1)
    let positions = shape.dimensions.dropFirst(2).reduce(1, *)
    return Step(label: "reorder", reads: [source], writes: [target]) { _ in
      switch (from, to) {
      case (.roundedKernel, _): ck_widen_pairs(source.words, target.floats, shape.count / 32)
      case (.blocked, _): ck_blocked_to_plain(source.floats, target.floats, n, c, positions)
      case (_, .blocked): ck_plain_to_blocked(source.floats, target.floats, n, c, positions)
      case (.blockedKernel, _): ck_weights_to_plain(source.floats, target.floats, n, c, positions)
      case (_, .blockedKernel): ck_weights_to_blocked(source.floats, target.floats, n, c, positions)
      case (.plain, .plain): break
      case (.plain, .roundedKernel): preconditionFailure("only states are kept rounded")
      }
    }
  }

  /// The dimensions of a tensor as its layout holds them, outermost first: a blocked one has its channels at axis 1 and last.
  func physicalDimensions(_ shape: Shape, _ layout: Layout) -> [Int] {
    switch layout {
    case .plain: shape.dimensions
    case .blocked: [shape[0], shape[1] / Layout.block] + shape.dimensions.dropFirst(2) + [Layout.block]
    case .blockedKernel, .roundedKernel:
      [shape[0] / Layout.block, shape[1] / Layout.block] + shape.dimensions.dropFirst(2) + [Layout.block, Layout.block]
    }
  }

  /// How an operand is read when it is broadcast to a blocked result: its buffer, and its strides along the result's
  /// physical dimensions. nil where only the plain form will do.
  func blockedOperand(_ id: Program.ValueID, in result: Shape) -> (buffer: Buffer, strides: [Int])? {
    let own = shape(id)
    guard own.rank <= result.rank else { return nil }
    let aligned = Shape([Int](repeating: 1, count: result.rank - own.rank) + own.dimensions)
    let positions = aligned.dimensions.dropFirst(2)
    if aligned[1] == result[1], positions.contains(where: { $0 != 1 }) {
      guard own.rank == result.rank else { return nil }
      let physical = Shape(physicalDimensions(own, .blocked))
      return (form(id, .blocked), physical.broadcastStrides(to: Shape(physicalDimensions(result, .blocked))))
    }
    let strides = aligned.broadcastStrides(to: result)
    let channel = aligned[1] == 1 ? 0 : strides[1]
    return (plain(id), [strides[0], channel * Layout.block] + strides.dropFirst(2) + [channel])
  }
}
