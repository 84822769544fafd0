import CKernels
import Platform
import Testing

struct AttentionCase: CustomTestStringConvertible, Sendable {
  var samples = 2, heads = 2, headChannels = 16, queries = 20, keys = 20
  var blocked = true
  var threads: Int32 = 2
  var testDescription: String {
    "N\(samples) heads \(heads)×\(headChannels) L\(queries),\(keys) \(blocked ? "blocked" : "plain") threads \(threads)"
  }

  /// The kernels' form of the case, its tensors dense.
  func shape(scale: Float) -> ck_attention {
    ck_attention(
      samples: samples, heads: heads, head_channels: headChannels, queries: queries, keys: keys, scale: scale,
      format: blocked ? CK_BLOCKED : CK_PLAIN, query_stride: 0, key_stride: 0, value_stride: 0, output_stride: 0,
      rounds: 0)
  }

  /// [N][C][L] in the case's format.
  func atQueries<T: Numeric>(_ x: [T]) -> [T] { laid(x, queries) }
  func atKeys<T: Numeric>(_ x: [T]) -> [T] { laid(x, keys) }

  private func laid<T: Numeric>(_ x: [T], _ length: Int) -> [T] {
    blocked ? CPUBackendTests.blocked(x, samples: samples, channels: heads * headChannels, pixels: length) : x
  }

  static let table =
    [
      AttentionCase(),
      AttentionCase(samples: 1, heads: 1, headChannels: 32, queries: 64, keys: 64, threads: 3),
      AttentionCase(samples: 3, heads: 1, headChannels: 48, queries: 49, keys: 49),
      AttentionCase(samples: 1, heads: 3, headChannels: 16, queries: 7, keys: 33),
      AttentionCase(samples: 1, heads: 1, headChannels: 16, queries: 1, keys: 1, threads: 4),
      AttentionCase(samples: 1, heads: 1, headChannels: 64, queries: 150, keys: 300, threads: 1),
      AttentionCase(samples: 1, heads: 1, headChannels: 16, queries: 200, keys: 1040),
    ].flatMap { k in
      var plain = k
      plain.blocked = false
      return [k, plain]
    } + [
      AttentionCase(samples: 2, heads: 3, headChannels: 5, queries: 18, keys: 31, blocked: false),
      AttentionCase(samples: 1, heads: 1, headChannels: 20, queries: 5, keys: 16, blocked: false),
      AttentionCase(samples: 1, heads: 5, headChannels: 1, queries: 40, keys: 3, blocked: false, threads: 4),
    ]
}

/// Attention in Double on [N][C][L].
struct AttentionReference {
  var o: [Double], logSumExp: [Double], dq: [Double], dk: [Double], dv: [Double]

  init(_ k: AttentionCase, q: [Float], key: [Float], value: [Float], dO: [Float], scale: Double) {
    let d = k.headChannels
    o = .init(repeating: 0, count: q.count)
    dq = o
    dk = .init(repeating: 0, count: key.count)
    dv = dk
    logSumExp = []
    for item in 0..<k.samples * k.heads {
      let (atQ, atK) = (item * d * k.queries, item * d * k.keys)
      for i in 0..<k.queries {
        func query(_ c: Int) -> Int { atQ + c * k.queries + i }
        func position(_ c: Int, _ j: Int) -> Int { atK + c * k.keys + j }
        let scores = (0..<k.keys).map { j in
          (0..<d).reduce(0.0) { $0 + Double(q[query($1)]) * Double(key[position($1, j)]) } * scale
        }
        let largest = scores.max() ?? 0
        let total = scores.map { exp($0 - largest) }.reduce(0, +)
        logSumExp.append(largest + log(total))
        let p = scores.map { exp($0 - largest) / total }
        var dp = [Double](repeating: 0, count: k.keys)
        for j in 0..<k.keys {
          for c in 0..<d {
            o[query(c)] += p[j] * Double(value[position(c, j)])
            dp[j] += Double(dO[query(c)]) * Double(value[position(c, j)])
            dv[position(c, j)] += p[j] * Double(dO[query(c)])
          }
        }
        let inner = zip(p, dp).map(*).reduce(0, +)
        for j in 0..<k.keys {
          let ds = p[j] * (dp[j] - inner) * scale
          for c in 0..<d {
            dq[query(c)] += ds * Double(key[position(c, j)])
            dk[position(c, j)] += ds * Double(q[query(c)])
          }
        }
      }
    }
  }
}

extension KernelTests {
  @Test(arguments: AttentionCase.table) func attention(_ k: AttentionCase) {
    checkAttention(k, rounds: false)
  }

  @Test(.enabled(if: ck_bf16_available() != 0, "this processor has no AVX512-BF16"), arguments: AttentionCase.table)
  func attentionInBFloat16(_ k: AttentionCase) {
    checkAttention(k, rounds: true)
  }

  private func checkAttention(_ k: AttentionCase, rounds: Bool) {
    // Operands of 8 bits in place of 24.
    let coarser = rounds ? 3000.0 : 1
    var noise = Noise(5)
    let channels = k.heads * k.headChannels
    let q = noise.array(k.samples * channels * k.queries, scale: 2)
    let key = noise.array(k.samples * channels * k.keys, scale: 2)
    let value = noise.array(key.count)
    let dO = noise.array(q.count)
    let scale = 1 / Double(k.headChannels).squareRoot()
    let expected = AttentionReference(k, q: q, key: key, value: value, dO: dO, scale: Double(Float(scale)))

    // Keys and values as the two halves of one tensor, as a fused projection leaves them.
    let size = channels * k.keys
    var both: [Float] = []
    let (laidKey, laidValue) = (k.atKeys(key), k.atKeys(value))
    for n in 0..<k.samples {
      both += laidKey[n * size..<(n + 1) * size]
      both += laidValue[n * size..<(n + 1) * size]
    }

    var shape = k.shape(scale: Float(scale))
    (shape.key_stride, shape.value_stride, shape.rounds) = (2 * size, 2 * size, rounds ? 1 : 0)
    withThreads(k.threads) {
      let (keyValue, queries, gradient) = (Guarded(both), Guarded(k.atQueries(q)), Guarded(k.atQueries(dO)))
      let o = Guarded(empty: q.count)
      let logSumExp = Guarded(empty: k.samples * k.heads * k.queries)
      let workspace = Guarded(empty: ck_attention_forward_workspace(&shape))
      ck_attention_forward(
        &shape, queries.pointer, keyValue.pointer, keyValue.pointer + size, o.pointer, logSumExp.pointer,
        workspace.pointer)
      #expect(relativeError(o.values, k.atQueries(expected.o)) < 2e-6 * coarser)
      #expect(largestError(logSumExp.values, expected.logSumExp) < 1e-5 * coarser)

      let dq = Guarded(empty: q.count)
      let dkv = Guarded(empty: both.count)
      let backwardWorkspace = Guarded(empty: ck_attention_backward_workspace(&shape))
      ck_attention_backward(
        &shape, queries.pointer, keyValue.pointer, keyValue.pointer + size, o.pointer, logSumExp.pointer,
        gradient.pointer,
        dq.pointer, dkv.pointer, dkv.pointer + size, backwardWorkspace.pointer)
      var expectedBoth: [Double] = []
      let (dk, dv) = (k.atKeys(expected.dk), k.atKeys(expected.dv))
      for n in 0..<k.samples {
        expectedBoth += dk[n * size..<(n + 1) * size]
        expectedBoth += dv[n * size..<(n + 1) * size]
      }
      // With one key, dq and dk are zero in exact arithmetic: measured against the gradient that came in.
      #expect(largestError(dq.values, k.atQueries(expected.dq)) < 5e-6 * 2 * coarser)
      #expect(relativeError(dkv.values, expectedBoth) < 5e-6 * coarser)
      for buffer in [keyValue, queries, gradient, o, logSumExp, workspace, dq, dkv, backwardWorkspace] {
        #expect(buffer.isIntact)
      }
    }
  }

  @Test(arguments: [1, 3, 16, 17, 100, 256]) func softmax(_ n: Int) {
    var noise = Noise(9)
    let rows = 5
    let x = noise.array(rows * n, scale: 20)
    for scale: Float in [1, 0.25, -0.5] {
      var expected: [Double] = []
      for r in 0..<rows {
        let s = (0..<n).map { Double(x[r * n + $0]) * Double(scale) }
        let e = s.map { exp($0 - (s.max() ?? 0)) }
        let p = e.map { $0 / e.reduce(0, +) }
        expected += p
      }
      withThreads(2) {
        let y = Guarded(x)
        ck_softmax(y.pointer, y.pointer, rows, n, scale)
        #expect(relativeError(y.values, expected) < 2e-6)
        #expect(y.isIntact)
      }
    }
  }

  @Test func softmaxOfExtremes() {
    let x: [Float] = [.nan, 1, 2, .infinity, 1, 2, -.infinity, 0, 0, 3e38, -3e38, 0]
    var y = [Float](repeating: 0, count: x.count)
    ck_softmax(x, &y, 4, 3, 1)
    #expect(y[0].isNaN && y[1].isNaN && y[2].isNaN)
    #expect(y[3].isNaN)
    #expect(Array(y[6..<12]) == [0, 0.5, 0.5, 1, 0, 0])
  }
}
