extension HLOValue {
  func reshaped(_ shape: [Int]) -> HLOValue {
    self.shape == shape ? self : become("reshape", HLOType(shape, element))
  }

  /// Axis i of the result is axis `permutation[i]`.
  func transposed(_ permutation: [Int]) -> HLOValue {
    become("transpose", HLOType(permutation.map { shape[$0] }, element), ", dims = \(list(permutation))")
  }

  /// Axis i becomes axis `axes[i]`; dimensions of 1 stretch.
  func broadcast(_ shape: [Int], axes: [Int]) -> HLOValue {
    self.shape == shape ? self : become("broadcast_in_dim", HLOType(shape, element), ", dims = \(list(axes))")
  }

  /// By NumPy's rule: aligned at the last axis.
  func broadcast(_ shape: [Int]) -> HLOValue {
    broadcast(shape, axes: Array(shape.count - type.rank..<shape.count))
  }

  func sliced(axis: Int, _ range: Range<Int>) -> HLOValue {
    var result = shape
    result[axis] = range.count
    let ranges = shape.indices.map { $0 == axis ? "\(range.lowerBound):\(range.upperBound)" : "0:\(shape[$0])" }
    return become("slice", HLOType(result, element), " [\(ranges.joined(separator: ", "))]")
  }

  /// Element `index` of a vector, as a scalar.
  subscript(index: Int) -> HLOValue { sliced(axis: 0, index..<index + 1).reshaped([]) }

  /// Zeros before and after.
  func padded(axis: Int, before: Int, after: Int) -> HLOValue {
    let none = [Int](repeating: 0, count: type.rank)
    var (low, high, result) = (none, none, shape)
    low[axis] = before
    high[axis] = after
    result[axis] += before + after
    let (zero, to) = (writer.splat(0, [], element), HLOType(result, element))
    let edges = "low = \(list(low)), high = \(list(high)), interior = \(list(none))"
    return writer.emit(to, "pad \(name), \(zero.name), \(edges) : (\(type.text), \(zero.type.text)) -> \(to.text)")
  }

  func reversed(_ axes: [Int]) -> HLOValue {
    writer.emit(type, "reverse \(name), dims = \(list(axes)) : \(type.text)")
  }

  // MARK: Reductions

  /// The sum over `axes`, which disappear.
  func sum(_ axes: [Int]) -> HLOValue { reduce("add", axes, from: 0) }
  /// The largest over `axes`, which disappear.
  func maximum(_ axes: [Int]) -> HLOValue { reduce("maximum", axes, from: -.infinity) }

  private func reduce(_ function: String, _ axes: [Int], from start: Double) -> HLOValue {
    if axes.isEmpty { return self }
    let result = HLOType(shape.indices.filter { !axes.contains($0) }.map { shape[$0] }, element)
    let start = writer.splat(start, [], element)
    return writer.emit(
      result,
      """
      reduce(\(name) init: \(start.name)) applies stablehlo.\(function) across dimensions = \(list(axes.sorted())) \
      : (\(type.text), \(start.type.text)) -> \(result.text)
      """)
  }
}
