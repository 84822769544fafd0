import CKernels
import Platform
import Testing

extension KernelTests {
  /// Known answers of Random123's Philox4×32-10.
  @Test func philoxKnownAnswers() {
    let table: [([UInt32], [UInt32], [UInt32])] = [
      ([0, 0, 0, 0], [0, 0], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
      (
        [.max, .max, .max, .max], [.max, .max], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
      ),
      (
        [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0],
        [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
      ),
    ]
    for (counter, key, expected) in table {
      var out = [UInt32](repeating: 0, count: 4)
      ck_philox(counter, key, &out)
      #expect(out == expected)
    }
  }

  /// Every element against the scalar definition; sizes that end inside a block and inside a vector.
  @Test(arguments: [1, 4, 63, 64, 130, 1000]) func randomConvention(_ elements: Int) {
    var random = ck_random(seed: 0x1234_5678_9abc_def0, step: 77, stream: 3)
    let samples: [UInt32] = [0, 5, 4_000_000_000]
    let count = samples.count * elements
    var words: [UInt32] = []
    for sample in samples {
      for j in 0..<elements {
        var block = [UInt32](repeating: 0, count: 4)
        ck_philox([UInt32(j / 4), sample, 77, 3], [0x9abc_def0, 0x1234_5678], &block)
        words.append(block[j % 4])
      }
    }
    withThreads(2) {
      let mask = Guarded(empty: count)
      ck_random_dropout_mask(&random, samples, samples.count, elements, 0.3, mask.pointer)
      #expect(mask.values == words.map { Float($0 >> 8) * 0x1p-24 >= 0.3 ? 1 / (1 - 0.3 as Float) : 0 })
      let normal = Guarded(empty: count)
      ck_random_normal(&random, samples, samples.count, elements, normal.pointer)
      var worst = 0.0
      for n in samples.indices {
        for j in stride(from: 0, to: elements, by: 2) {
          var block = [UInt32](repeating: 0, count: 4)
          ck_philox([UInt32(j / 4), samples[n], 77, 3], [0x9abc_def0, 0x1234_5678], &block)
          let (w, v) = (Double(block[j % 4]), Double(block[j % 4 + 1]))
          let radius = (-2 * log((w + 0.5) * 0x1p-32)).squareRoot()
          let angle = 2 * Double.pi * (v + 0.5) * 0x1p-32
          worst = max(worst, abs(Double(normal.values[n * elements + j]) - radius * cos(angle)))
          if j + 1 < elements {
            worst = max(worst, abs(Double(normal.values[n * elements + j + 1]) - radius * sin(angle)))
          }
        }
      }
      #expect(worst < 2e-6)
      #expect(mask.isIntact && normal.isIntact)
    }
  }

  @Test func normalMoments() {
    var random = ck_random(seed: 1, step: 0, stream: 0)
    let n = 1 << 18
    let z = Guarded(empty: n)
    ck_random_normal(&random, [0], 1, n, z.pointer)
    let mean = z.values.reduce(0.0) { $0 + Double($1) } / Double(n)
    let variance = ck_sum_of_squares(z.pointer, n) / Double(n)
    // Four standard errors: 1/√n, √(2/n).
    #expect(abs(mean) < 4 / Double(n).squareRoot())
    #expect(abs(variance - 1) < 4 * (2 / Double(n)).squareRoot())
  }

  @Test(arguments: [(0.0, false), (0.01, true), (0.01, false)]) func adam(_ decay: Double, _ decoupled: Bool) {
    var noise = Noise(2)
    let n = 1003
    let start = noise.array(n)
    var (p, m, v) = (start.map(Double.init), [Double](repeating: 0, count: n), [Double](repeating: 0, count: n))
    var ema = p
    let (foundP, foundM, foundV) = (
      Guarded(start), Guarded([Float](repeating: 0, count: n)), Guarded([Float](repeating: 0, count: n))
    )
    let foundEMA = Guarded(start)
    withThreads(2) {
      for step in 1...10 {
        var g = noise.array(n, scale: 0.1)
        if step == 3 { g[0] = 0 }
        var adam = ck_adam(
          learning_rate: 2e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: decay,
          decoupled: decoupled ? 1 : 0,
          gradient_scale: 0.5, ema_decay: 0.99, bias_correction1: 1 - pow(0.9, Double(step)),
          bias_correction2: 1 - pow(0.999, Double(step)))
        ck_adam_step(&adam, foundP.pointer, g, foundM.pointer, foundV.pointer, foundEMA.pointer, n)
        // torch.optim.Adam and AdamW
        for i in 0..<n {
          var gradient = Double(g[i]) * 0.5
          if decoupled { p[i] *= 1 - 2e-3 * decay } else { gradient += decay * p[i] }
          m[i] = 0.9 * m[i] + 0.1 * gradient
          v[i] = 0.999 * v[i] + 0.001 * gradient * gradient
          let denominator = v[i].squareRoot() / (1 - pow(0.999, Double(step))).squareRoot() + 1e-8
          p[i] -= 2e-3 / (1 - pow(0.9, Double(step))) * m[i] / denominator
          ema[i] = 0.99 * ema[i] + 0.01 * p[i]
        }
      }
    }
    #expect(largestError(foundP.values, p) < 2e-6)
    #expect(relativeError(foundM.values, m) < 1e-6)
    #expect(relativeError(foundV.values, v) < 1e-6)
    #expect(largestError(foundEMA.values, ema) < 2e-6)
    for buffer in [foundP, foundM, foundV, foundEMA] { #expect(buffer.isIntact) }
  }
}
