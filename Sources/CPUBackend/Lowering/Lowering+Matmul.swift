import CKernels
import TensorGraph

extension Lowering {
  func lowerMatmul(_ node: Program.Node, _ transposeA: Bool, _ transposeB: Bool) {
    let (aShape, bShape, yShape) = (shape(node.operands[0]), shape(node.operands[1]), shape(node.results[0]))
    let (a, b) = (plain(node.operands[0]), plain(node.operands[1]))
    let y = result(node.results[0])
    // Once, of weights alone: in 32 bits.
    if isFrozen(node.results[0]), yShape.rank == 2 {
      return emit(productOfWeights((a, aShape, turn: transposeA), (b, bShape, turn: !transposeB), y, yShape))
    }
    var m = yShape[yShape.rank - 2]
    let n = yShape[yShape.rank - 1]
    let k = transposeA ? aShape[aShape.rank - 2] : aShape[aShape.rank - 1]
    var batch = yShape.count / (m * n)
    // Kernels sum differently, chosen by how many rows there are. By one of them an image does not depend on its batch; training's does anyway.
    let isSampling = isFrozen(node.operands[1]) && bShape.rank == 2 && !transposeA
    // One matrix for the whole batch: the batch is just more rows.
    if bShape.rank == 2, !transposeA { (m, batch) = (m * batch, 1) }
    if bShape.rank == 2, !transposeA, transposeB, isSampling || m <= Matmul.fewRows {
      emit(
        Step(label: "linear", reads: [a, b], writes: [y], flops: 2 * Double(m) * Double(n) * Double(k)) { _ in
          ck_linear(a.floats, b.floats, y.floats, m, n, k)
        })
      return
    }
    let (aStep, bStep) = (aShape.rank == 2 && bShape.rank > 2 ? 0 : m * k, bShape.rank == 2 ? 0 : k * n)
    let gemm = Matmul(
      transposeA: transposeA, transposeB: transposeB, m: m, n: n, k: k, useAMX: options.allows(.amx) && !isSampling,
      rounds: options.rounds)
    emit(
      Step(
        label: gemm.label, reads: [a, b], writes: [y], scratch: gemm.scratchByteCount,
        flops: 2 * Double(batch) * Double(m) * Double(n) * Double(k)
      ) { scratch in
        for item in 0..<batch {
          gemm(a.floats + item * aStep, b.floats + item * bStep, y.floats + item * m * n, scratch)
        }
      })
  }

  /// y (m, n) = dot products of the rows of a and b, which are turned first where it says so.
  private func productOfWeights(
    _ a: (buffer: Buffer, shape: Shape, turn: Bool), _ b: (buffer: Buffer, shape: Shape, turn: Bool), _ y: Buffer,
    _ shape: Shape
  ) -> Step {
    let (m, n) = (shape[0], shape[1])
    let k = a.shape.count / m
    return Step(
      label: "product of weights", reads: [a.buffer, b.buffer], writes: [y],
      scratch: (m * k + n * k) * MemoryLayout<Float>.stride, flops: 2 * Double(m) * Double(n) * Double(k)
    ) { scratch in
      let scratch = scratch.floats
      func rows(_ x: (buffer: Buffer, shape: Shape, turn: Bool), at place: UnsafeMutablePointer<Float>)
        -> UnsafePointer<Float>
      {
        guard x.turn else { return UnsafePointer(x.buffer.floats) }
        ck_transpose(x.buffer.floats, place, 2, x.shape.dimensions, [1, 0])
        return UnsafePointer(place)
      }
      ck_linear(rows(a, at: scratch), rows(b, at: scratch + m * k), y.floats, m, n, k)
    }
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

  /// Rows up to which `ck_linear`, which packs nothing, is faster than `ck_matmul`.
  static let fewRows = 16

  /// Splitting and packing the operands pays where each of their numbers is used often enough.
  private var splits: Bool { useAMX && min(m, n, k) >= 64 }

  var label: String { splits ? "matmul amx" : "matmul" }
  var scratchByteCount: Int {
    splits ? ck_amx_gemm_scratch(m, n, k) : ck_matmul_workspace(m, n, k) * MemoryLayout<Float>.stride
  }

  func callAsFunction(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>,
    _ scratch: UnsafeMutableRawPointer
  ) {
    if splits {
      return ck_amx_gemm(
        transposeA ? 1 : 0, transposeB ? 1 : 0, m, n, k, 1, a, transposeA ? m : k, b, transposeB ? k : n, 0, y, n,
        rounds ? 1 : 0, scratch)
    }
    ck_matmul(transposeA ? 1 : 0, transposeB ? 1 : 0, m, n, k, a, b, y, scratch.floats)
  }
}
