import CDNNL
import CKernels
import TensorGraph

extension Lowering {
  func lowerMatmul(_ node: Program.Node, _ transposeA: Bool, _ transposeB: Bool) {
    let (aShape, bShape, yShape) = (shape(node.operands[0]), shape(node.operands[1]), shape(node.results[0]))
    let (a, b) = (plain(node.operands[0]), plain(node.operands[1]))
    let y = result(node.results[0])
    var m = yShape[yShape.rank - 2]
    let n = yShape[yShape.rank - 1]
    let k = transposeA ? aShape[aShape.rank - 2] : aShape[aShape.rank - 1]
    var batch = yShape.count / (m * n)
    // Libraries sum a row differently by how many rows there are. Row by row, an image does not depend on its batch.
    let oneByOne = options.tuning == .fixed && bShape.rank == 2 && !transposeA
    // One matrix for the whole batch: the batch is just more rows.
    if bShape.rank == 2, !transposeA { (m, batch) = (m * batch, 1) }
    if bShape.rank == 2, !transposeA, transposeB, oneByOne || m <= Matmul.fewRows {
      emit(
        Step(label: "linear", reads: [a, b], writes: [y], flops: 2 * Double(m) * Double(n) * Double(k)) { _ in
          ck_linear(a.floats, b.floats, y.floats, m, n, k)
        })
      return
    }
    if oneByOne { (m, batch) = (1, m) }
    let (aStep, bStep) = (aShape.rank == 2 && bShape.rank > 2 ? 0 : m * k, bShape.rank == 2 ? 0 : k * n)
    let gemm = Matmul(
      transposeA: transposeA, transposeB: transposeB, m: m, n: n, k: k, useAMX: options.allows(.amx),
      rounds: options.rounds)
    // The library makes the code of a product when it first does one.
    var isFirst = true
    emit(
      Step(
        label: gemm.label, reads: [a, b], writes: [y], scratch: gemm.scratchByteCount,
        flops: 2 * Double(batch) * Double(m) * Double(n) * Double(k)
      ) { scratch in
        if isFirst { try AlignedMemory.checkHeadroom() }
        isFirst = false
        for item in 0..<batch {
          try gemm(a.floats + item * aStep, b.floats + item * bStep, y.floats + item * m * n, scratch)
        }
      })
  }
}

/// One matrix product, row-major, by the fastest kernel for its size.
struct Matmul {
  var transposeA: Bool
  var transposeB: Bool
  var m: Int
  var n: Int
  var k: Int
  var useAMX: Bool
  /// Whether AMX rounds operands to bfloat16 instead of splitting them.
  var rounds: Bool

  /// Rows up to which `ck_linear`, which packs nothing, is faster than a library.
  static let fewRows = 16

  /// Splitting and packing the operands pays where each of their numbers is used often enough.
  private var splits: Bool { useAMX && min(m, n, k) >= 64 }

  var label: String { splits ? "matmul amx" : "matmul" }
  var scratchByteCount: Int { splits ? ck_amx_gemm_scratch(m, n, k) : 0 }

  func callAsFunction(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>,
    _ scratch: UnsafeMutableRawPointer
  ) throws(ExecutionError) {
    if splits {
      return ck_amx_gemm(
        transposeA ? 1 : 0, transposeB ? 1 : 0, m, n, k, 1, a, transposeA ? m : k, b, transposeB ? k : n, 0, y, n,
        rounds ? 1 : 0, scratch)
    }
    let letter = { (transposed: Bool) in CChar(bitPattern: UInt8(ascii: transposed ? "T" : "N")) }
    try check(
      dnnl_sgemm(
        letter(transposeA), letter(transposeB), dnnl_dim_t(m), dnnl_dim_t(n), dnnl_dim_t(k), 1, a,
        dnnl_dim_t(transposeA ? m : k), b, dnnl_dim_t(transposeB ? k : n), 0, y, dnnl_dim_t(n)),
      "matmul")
  }
}
