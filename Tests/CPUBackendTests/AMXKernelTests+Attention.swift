import CKernels
import Testing

extension KernelTests.AMXKernelTests {
  static let heads = [
    AttentionCase(samples: 2, heads: 1, headChannels: 64, queries: 49, keys: 49),
    AttentionCase(samples: 1, heads: 3, headChannels: 48, queries: 150, keys: 70),
    AttentionCase(samples: 3, heads: 2, headChannels: 9, queries: 33, keys: 45, blocked: false),
    AttentionCase(samples: 1, heads: 1, headChannels: 32, queries: 256, keys: 16, blocked: false),
  ].flatMap { k in
    ([1, 2, 3] as [Int32]).map { threads in
      var k = k
      k.threads = threads
      return k
    }
  }

  @Test(arguments: heads)
  func attention(_ k: AttentionCase) {
    var noise = Noise()
    let channels = k.heads * k.headChannels, scale: Float = 0.3
    let q = noise.array(k.samples * channels * k.queries), dO = noise.array(q.count)
    let key = noise.array(k.samples * channels * k.keys), value = noise.array(key.count)
    let expected = AttentionReference(k, q: q, key: key, value: value, dO: dO, scale: Double(scale))
    var shape = k.shape(scale: scale)
    withThreads(k.threads) {
      var scratch = memory(ck_amx_attention_forward_scratch(&shape))
      var o = [Float](repeating: .nan, count: q.count)
      var logSumExp = [Float](repeating: .nan, count: k.samples * k.heads * k.queries)
      let (qs, keys, values) = (k.atQueries(q), k.atKeys(key), k.atKeys(value))
      ck_amx_attention_forward(&shape, qs, keys, values, &o, &logSumExp, &scratch)
      expectClose(o, k.atQueries(expected.o), "o")
      expectClose(logSumExp, expected.logSumExp, "log Σ exp")

      var dq = [Float](repeating: .nan, count: q.count)
      var dk = [Float](repeating: .nan, count: key.count), dv = dk
      scratch = memory(ck_amx_attention_backward_scratch(&shape))
      ck_amx_attention_backward(&shape, qs, keys, values, o, logSumExp, k.atQueries(dO), &dq, &dk, &dv, &scratch)
      expectClose(dq, k.atQueries(expected.dq), "dq", tolerance: 2e-5)
      expectClose(dk, k.atKeys(expected.dk), "dk", tolerance: 2e-5)
      expectClose(dv, k.atKeys(expected.dv), "dv", tolerance: 2e-5)
    }
  }
}
