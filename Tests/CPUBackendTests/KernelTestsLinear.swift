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
}
