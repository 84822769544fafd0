/// How exactly 32-bit factors are multiplied.
enum HLOPrecision: String {
  /// By what the hardware does fastest: TF32 on NVIDIA, bfloat16 on TPU.
  case fast = "DEFAULT"
  case exact = "HIGHEST"
}

extension HLOValue {
  /// Σ over the contracted axes. The result's axes: batch, the rest of this, the rest of `other`; its elements have 32 bits.
  func dot(
    _ other: HLOValue, batch: [Int] = [], contract: (Int, Int), precision: HLOPrecision
  ) -> HLOValue {
    func rest(_ x: HLOValue, _ contracted: Int) -> [Int] {
      x.shape.indices.filter { $0 != contracted && !batch.contains($0) }.map { x.shape[$0] }
    }
    let shape = batch.map { self.shape[$0] } + rest(self, contract.0) + rest(other, contract.1)
    let result = HLOType(shape, .f32)
    let batching = batch.isEmpty ? "" : "batching_dims = \(list(batch)) x \(list(batch)), "
    return writer.emit(
      result,
      """
      dot_general \(name), \(other.name), \(batching)contracting_dims = [\(contract.0)] x [\(contract.1)], \
      precision = [\(precision.rawValue), \(precision.rawValue)] : (\(type.text), \(other.type.text)) -> \(result.text)
      """)
  }

  /// How a kernel lies over an image.
  struct Window {
    var stride = 1
    /// (low, high) of height and width; negative where the image is cut.
    var padding: [(low: Int, high: Int)]
    /// Zeros between the image's pixels, plus 1; and between the kernel's.
    var imageDilation = 1
    var kernelDilation = 1
  }

  /// - Parameter axes: What the axes of image, kernel and result are: `[b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1]`.
  func convolved(
    _ kernel: HLOValue, axes: String, _ window: Window, to shape: [Int], precision: HLOPrecision
  ) -> HLOValue {
    let result = HLOType(shape, element)
    let pads = window.padding.map { "[\($0.low), \($0.high)]" }.joined(separator: ", ")
    func both(_ n: Int) -> String { "[\(n), \(n)]" }
    let exactness = "#stablehlo<precision \(precision.rawValue)>"
    return writer.emit(
      result,
      """
      convolution(\(name), \(kernel.name)) dim_numbers = \(axes), \
      window = {stride = \(both(window.stride)), pad = [\(pads)], lhs_dilate = \(both(window.imageDilation)), \
      rhs_dilate = \(both(window.kernelDilation))} {batch_group_count = 1 : i64, feature_group_count = 1 : i64, \
      precision_config = [\(exactness), \(exactness)]} : (\(type.text), \(kernel.type.text)) -> \(result.text)
      """)
  }

  // MARK: Lookup. An index outside the table is clamped (gather) or ignored (scatter), without a word.

  /// Row `indices[n]` for each n.
  func gatheredRows(_ indices: HLOValue) -> HLOValue {
    let result = HLOType(indices.shape + shape.dropFirst(), element)
    let sizes = ([1] + shape.dropFirst()).map(String.init).joined(separator: ", ")
    return generic(
      "gather", [self, indices],
      """
      dimension_numbers = #stablehlo.gather<offset_dims = \(list(1..<max(1, type.rank))), collapsed_slice_dims = [0], \
      start_index_map = [0], index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = array<i64: \(sizes)>
      """, to: result)
  }

  /// Row n of this added to row `indices[n]` of a table of zeros.
  func scatteredRows(_ indices: HLOValue, count: Int) -> HLOValue {
    let zeros = writer.splat(0, [count] + shape.dropFirst(), element)
    return generic(
      "scatter", [zeros, indices, self],
      """
      indices_are_sorted = false, scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = \
      \(list(1..<max(1, type.rank))), inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, \
      unique_indices = false
      """, adding: true, to: zeros.type)
  }

  /// The sum over all replicas, which each of them gets.
  func allReduced(replicas: Int) -> HLOValue {
    generic(
      "all_reduce", [self], "replica_groups = dense<[\(list(0..<replicas))]> : tensor<1x\(replicas)xi64>", adding: true,
      to: type)
  }

  /// An operator in MLIR's generic form, with a region that adds where it needs one.
  private func generic(
    _ operation: String, _ operands: [HLOValue], _ properties: String, adding: Bool = false, to result: HLOType
  ) -> HLOValue {
    let scalar = HLOType([], result.element).text
    let region = """
       ({
          ^bb0(%a: \(scalar), %b: \(scalar)):
            %sum = stablehlo.add %a, %b : \(scalar)
            stablehlo.return %sum : \(scalar)
          })
      """
    let (names, types) = (operands.map(\.name), operands.map(\.type.text))
    return writer.emitGeneric(
      result,
      """
      "stablehlo.\(operation)"(\(names.joined(separator: ", "))) <{\(properties)}>\(adding ? region : "") \
      : (\(types.joined(separator: ", "))) -> \(result.text)
      """)
  }
}
