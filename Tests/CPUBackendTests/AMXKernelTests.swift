import CKernels
import Platform
import Testing

// In KernelTests, whose tests take turns: the number of threads is global.
extension KernelTests {
  /// Split-bf16 kernels against sums in Double, in every shape class: widths that fill tiles and that do not, half pairs
  /// of channel blocks, strides, batches, more threads than rows.
  @Suite("AMX kernels", .enabled(if: ck_amx_available() != 0, "this processor or kernel has no AMX"), .serialized)
  struct AMXKernelTests {
    /// What the split representation promises, with a margin: it measures 4e-6.
    static let tolerance = 8e-6

    struct Shape: CustomTestStringConvertible {
      var n, ci, co, h, w, k, stride, low, high: Int

      init(_ n: Int, _ ci: Int, _ co: Int, _ h: Int, _ w: Int, k: Int = 3, stride: Int = 1, low: Int = 1, high: Int = 1)
      {
        (self.n, self.ci, self.co, self.h, self.w) = (n, ci, co, h, w)
        (self.k, self.stride, self.low, self.high) = (k, stride, low, high)
      }

      var testDescription: String {
        "\(n)×\(ci)×\(h)×\(w) to \(co), kernel \(k), stride \(stride), padding \(low) \(high)"
      }

      var conv: ck_conv {
        ck_conv(N: n, Ci: ci, Co: co, H: h, W: w, K: k, stride: stride, pad_low: low, pad_high: high, rounds: 0)
      }
      var ho: Int { (h + low + high - k) / stride + 1 }
      var wo: Int { (w + low + high - k) / stride + 1 }

      // nChw16c and OIhw16i16o.
      func x(_ n: Int, _ c: Int, _ i: Int, _ j: Int) -> Int {
        (((n * (ci / 16) + c / 16) * h + i) * w + j) * 16 + c % 16
      }
      func y(_ n: Int, _ c: Int, _ i: Int, _ j: Int) -> Int {
        (((n * (co / 16) + c / 16) * ho + i) * wo + j) * 16 + c % 16
      }
      func weight(_ o: Int, _ i: Int, _ tap: Int) -> Int {
        ((o / 16 * (ci / 16) + i / 16) * k * k + tap) * 256 + i % 16 * 16 + o % 16
      }

      /// Every output row, tap row and the input row they read that lies inside the image; and likewise columns.
      func taps(output: Int, input: Int) -> [(out: Int, tap: Int, in: Int)] {
        (0..<output).flatMap { o in
          (0..<k).map { (o, $0, o * stride + $0 - low) }.filter { $0.2 >= 0 && $0.2 < input }
        }
      }
    }

    static let shapes = [
      Shape(1, 16, 16, 4, 4), Shape(2, 32, 48, 7, 7), Shape(3, 48, 32, 8, 8), Shape(2, 64, 32, 14, 14),
      Shape(1, 32, 64, 16, 16), Shape(1, 32, 32, 5, 40), Shape(5, 64, 16, 1, 3),
      Shape(1, 16, 16, 5, 5, low: 2, high: 2),
      Shape(2, 32, 48, 9, 5, k: 1, low: 0, high: 0),
      Shape(2, 32, 32, 8, 8, stride: 2, low: 0), Shape(1, 48, 32, 13, 28, stride: 2), Shape(3, 16, 32, 7, 9, stride: 2),
      // Some pixels of the input have no tap, or there are none of some parity.
      Shape(2, 16, 32, 9, 5, k: 1, stride: 2, low: 0, high: 0), Shape(1, 16, 16, 1, 1, stride: 2),
      Shape(2, 16, 16, 1, 6, stride: 2), Shape(1, 32, 16, 5, 1, stride: 2),
    ]

    static let cases = shapes.flatMap { shape in [1, 2, 3].map { (shape, $0) } }

    @Test(arguments: cases)
    func forwardAddsBiasAndResidual(_ shape: Shape, threads: Int) {
      ck_set_threads(Int32(threads))
      var conv = shape.conv, noise = Noise()
      let x = noise.array(shape.n * shape.ci * shape.h * shape.w),
        w = noise.array(shape.co * shape.ci * shape.k * shape.k)
      let bias = noise.array(shape.co), residual = noise.array(shape.n * shape.co * shape.ho * shape.wo)
      let scale = noise.array(shape.n * shape.ci), shift = noise.array(shape.n * shape.ci)
      var packed = memory(ck_amx_conv_forward_weights_size(&conv)), scratch = memory(ck_amx_conv_forward_scratch(&conv))
      ck_amx_conv_pack_forward(&conv, w, &packed)
      var y = residual
      y.withUnsafeMutableBufferPointer {
        ck_amx_conv_forward(&conv, $0.baseAddress, x, nil, packed, bias, $0.baseAddress, &scratch)
      }
      expectClose(y, reference(shape, x, w).add(residual).add(shape, bias), "y")

      // u = silu(x·scale + shift)
      var u = x
      for n in 0..<shape.n {
        for c in 0..<shape.ci {
          for i in 0..<shape.h {
            for j in 0..<shape.w {
              let at = shape.x(n, c, i, j), row = n * shape.ci + c
              let z = Double(x[at]) * Double(scale[row]) + Double(shift[row])
              u[at] = Float(z / (1 + exp(-z)))
            }
          }
        }
      }
      scale.withUnsafeBufferPointer { scale in
        shift.withUnsafeBufferPointer { shift in
          var prologue = ck_conv_prologue(scale: scale.baseAddress, shift: shift.baseAddress, silu: 1)
          ck_amx_conv_forward(&conv, &y, x, &prologue, packed, nil, nil, &scratch)
        }
      }
      expectClose(y, reference(shape, u, w), "y of prologue")
    }

    @Test(arguments: cases)
    func gradients(_ shape: Shape, threads: Int) {
      ck_set_threads(Int32(threads))
      var conv = shape.conv, noise = Noise()
      let x = noise.array(shape.n * shape.ci * shape.h * shape.w),
        w = noise.array(shape.co * shape.ci * shape.k * shape.k)
      let dy = noise.array(shape.n * shape.co * shape.ho * shape.wo)
      var dx = [Double](repeating: 0, count: x.count), dw = [Double](repeating: 0, count: w.count)
      var dbias = [Double](repeating: 0, count: shape.co)
      for n in 0..<shape.n {
        for row in shape.taps(output: shape.ho, input: shape.h) {
          for column in shape.taps(output: shape.wo, input: shape.w) {
            for o in 0..<shape.co {
              let gradient = Double(dy[shape.y(n, o, row.out, column.out)])
              for i in 0..<shape.ci {
                let from = shape.x(n, i, row.in, column.in), weight = shape.weight(o, i, row.tap * shape.k + column.tap)
                dx[from] += gradient * Double(w[weight])
                dw[weight] += gradient * Double(x[from])
              }
            }
          }
        }
        for o in 0..<shape.co {
          for i in 0..<shape.ho { for j in 0..<shape.wo { dbias[o] += Double(dy[shape.y(n, o, i, j)]) } }
        }
      }
      var packed = memory(ck_amx_conv_backward_weights_size(&conv))
      var scratch = memory(ck_amx_conv_backward_data_scratch(&conv))
      ck_amx_conv_pack_backward(&conv, w, &packed)
      var foundX = x
      foundX.withUnsafeMutableBufferPointer {
        ck_amx_conv_backward_data(&conv, $0.baseAddress, dy, packed, $0.baseAddress, &scratch)
      }
      expectClose(foundX, dx.add(x), "dx added to x")

      var foundW = w, foundBias = [Float](repeating: 0, count: shape.co)
      var weightsScratch = memory(ck_amx_conv_backward_weights_scratch(&conv))
      ck_amx_conv_backward_weights(&conv, &foundW, &foundBias, x, nil, dy, &weightsScratch)
      expectClose(foundW, dw, "dw")
      expectClose(foundBias, dbias, "dbias")
    }

    @Test(
      arguments: [(1, 1, 1), (1, 17, 33), (31, 33, 65), (100, 77, 3), (5, 512, 128), (130, 129, 257)], [0, 1, 2, 3])
    func matrixProduct(_ size: (m: Int, n: Int, k: Int), transposed: Int) {
      let (m, n, k) = size, transA = transposed & 1, transB = transposed >> 1
      var noise = Noise()
      let lda = (transA == 1 ? m : k) + 3, ldb = (transB == 1 ? k : n) + 1, ldc = n + 2
      let a = noise.array(lda * (transA == 1 ? k : m)), b = noise.array(ldb * (transB == 1 ? n : k))
      let c = noise.array(ldc * m)
      for threads in 1...3 {
        ck_set_threads(Int32(threads))
        var scratch = memory(ck_amx_gemm_scratch(m, n, k))
        for beta in [Float(0), 0.5] {
          // With β = 0 what stands in C must not matter.
          var found = beta == 0 ? [Float](repeating: .nan, count: c.count) : c
          ck_amx_gemm(
            Int32(transA), Int32(transB), m, n, k, 1.25, a, lda, b, ldb, beta, &found, ldc, 0, &scratch)
          var product = [Double](), result = [Float]()
          for i in 0..<m {
            for j in 0..<n {
              var sum = 0.0
              for p in 0..<k {
                sum +=
                  Double(a[transA == 1 ? p * lda + i : i * lda + p])
                  * Double(b[transB == 1 ? j * ldb + p : p * ldb + j])
              }
              product.append(1.25 * sum)
              result.append(found[i * ldc + j] - beta * (beta == 0 ? 0 : c[i * ldc + j]))
            }
          }
          expectClose(
            result, product, "C for β = \(beta), \(threads) threads", tolerance: k == 1 ? 3e-5 : Self.tolerance)
        }
      }
    }

    @Test func nonFiniteValuesStayNonFinite() {
      ck_set_threads(1)
      for special in [Float.infinity, -.infinity, .nan] {
        let a: [Float] = [special, 1, 1, 2], b: [Float] = [1, 2, 3, 4]
        var c = [Float](repeating: 0, count: 4), scratch = memory(ck_amx_gemm_scratch(2, 2, 2))
        ck_amx_gemm(0, 0, 2, 2, 2, 1, a, 2, b, 2, 0, &c, 2, 0, &scratch)
        #expect(!c[0].isFinite && !c[1].isFinite)
        #expect(c[2] == 7 && c[3] == 10)
      }
    }

    // MARK: - Reference

    private func reference(_ shape: Shape, _ x: [Float], _ w: [Float]) -> [Double] {
      var y = [Double](repeating: 0, count: shape.n * shape.co * shape.ho * shape.wo)
      for n in 0..<shape.n {
        for row in shape.taps(output: shape.ho, input: shape.h) {
          for column in shape.taps(output: shape.wo, input: shape.w) {
            for o in 0..<shape.co {
              var sum = 0.0
              for i in 0..<shape.ci {
                let weight = w[shape.weight(o, i, row.tap * shape.k + column.tap)]
                sum += Double(x[shape.x(n, i, row.in, column.in)]) * Double(weight)
              }
              y[shape.y(n, o, row.out, column.out)] += sum
            }
          }
        }
      }
      return y
    }

    func expectClose(
      _ found: [Float], _ expected: [Double], _ what: String, tolerance: Double = tolerance,
      sourceLocation: SourceLocation = #_sourceLocation
    ) {
      #expect(found.count == expected.count, "\(what)", sourceLocation: sourceLocation)
      var error = 0.0, norm = 0.0
      for (f, e) in zip(found, expected) {
        error += (Double(f) - e) * (Double(f) - e)
        norm += e * e
      }
      let relative = (error / norm).squareRoot()
      #expect(relative <= tolerance, "\(what): relative L2 error \(relative)", sourceLocation: sourceLocation)
    }
  }
}

/// Memory all ones at first (NaN as floats), so that a read before a write shows.
func memory(_ size: Int) -> [UInt8] { [UInt8](repeating: 0xff, count: size) }

extension [Double] {
  fileprivate func add(_ other: [Float]) -> [Double] { zip(self, other).map { $0 + Double($1) } }

  fileprivate func add(_ shape: KernelTests.AMXKernelTests.Shape, _ bias: [Float]) -> [Double] {
    enumerated().map { index, value in
      let block = index / 16 / (shape.ho * shape.wo) % (shape.co / 16)
      return value + Double(bias[block * 16 + index % 16])
    }
  }
}
