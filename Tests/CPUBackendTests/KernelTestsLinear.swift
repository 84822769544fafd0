import CKernels
import Testing

extension KernelTests {
  /// Rows in fours and alone, outputs and numbers that fill no vector; then more rows than one thread takes.
  @Test(arguments: [(1, 1, 1), (1, 64, 128), (5, 37, 45), (7, 16, 16), (64, 100, 129)])
  func linear(_ m: Int, _ n: Int, _ k: Int) {
    var noise = Noise(5)
    let (x, w) = (noise.array(m * k), noise.array(n * k))
    let expected = (0..<m * n).map { at in
      (0..<k).reduce(0) { $0 + Double(x[at / n * k + $1]) * Double(w[at % n * k + $1]) }
    }
    withThreads(3) {
      let found = Guarded(empty: m * n)
      ck_linear(x, w, found.pointer, m, n, k)
      #expect(relativeError(found.values, expected) < 1e-6)
      #expect(found.isIntact)
      // A row does not depend on the others.
      for row in 0..<m {
        let alone = Guarded(empty: n)
        ck_linear(Array(x[row * k..<(row + 1) * k]), w, alone.pointer, 1, n, k)
        #expect(alone.values == Array(found.values[row * n..<(row + 1) * n]))
      }
    }
  }

  /// Rows, columns and depths that fill no vector, panel or transposed block; more threads than panels.
  @Test(arguments: [(1, 1, 1), (5, 37, 45), (32, 64, 16), (64, 100, 129), (130, 16, 300)], [1, 3, 7] as [Int32])
  func matmul(_ size: (Int, Int, Int), _ threads: Int32) {
    let (m, n, k) = size
    var noise = Noise(6)
    let (a, b) = (noise.array(m * k), noise.array(k * n))
    let expected = (0..<m * n).map { at in
      (0..<k).reduce(0) { $0 + Double(a[at / n * k + $1]) * Double(b[$1 * n + at % n]) }
    }
    func turned(_ x: [Float], _ rows: Int, _ columns: Int) -> [Float] {
      (0..<x.count).map { x[$0 % rows * columns + $0 / rows] }
    }
    withThreads(threads) {
      for (turnsA, turnsB) in [(false, false), (false, true), (true, false), (true, true)] {
        let found = Guarded(empty: m * n), workspace = Guarded(empty: ck_matmul_workspace(m, n, k))
        ck_matmul(
          turnsA ? 1 : 0, turnsB ? 1 : 0, m, n, k, turnsA ? turned(a, m, k) : a, turnsB ? turned(b, k, n) : b,
          found.pointer, workspace.pointer)
        #expect(relativeError(found.values, expected) < 1e-6)
        #expect(found.isIntact && workspace.isIntact)
        // A row does not depend on the others.
        guard !turnsA else { continue }
        let alone = Guarded(empty: n), less = Guarded(empty: ck_matmul_workspace(1, n, k))
        ck_matmul(
          0, turnsB ? 1 : 0, 1, n, k, Array(a[(m - 1) * k..<m * k]), turnsB ? turned(b, k, n) : b, alone.pointer,
          less.pointer)
        #expect(alone.values == Array(found.values.suffix(n)))
      }
    }
  }
}
