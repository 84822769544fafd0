import CKernels
import Testing

// In KernelTests, whose tests take turns: the number of threads is global.
extension KernelTests {
  /// Kernels whose products round their operands to bfloat16, against sums in Double.
  @Suite(
    "Kernels in bfloat16", .enabled(if: ck_bf16_available() != 0, "this processor has no AVX512-BF16"), .serialized)
  struct BFloat16KernelTests {
    /// Of white noise, which Winograd's maps serve worst: it measures 1.1e-2; a pixel of 400 that is missing shows as 5e-2.
    static let winogradBound = 1.6e-2

    /// And of more tiles than those whose weights are transformed as they are needed.
    static let winogradCases =
      ConvCase.table + [
        ConvCase(samples: 3, inputs: 32, outputs: 48, height: 19, width: 21),
        ConvCase(samples: 1, inputs: 80, outputs: 80, height: 33, width: 33, threads: 3),
      ]

    @Test(arguments: winogradCases) func winograd(_ k: ConvCase) {
      var noise = Noise(11)
      let pixels = k.height * k.width
      let x = noise.array(k.samples * k.inputs * pixels)
      let w = noise.array(k.outputs * k.inputs * 9)
      let bias = noise.array(k.outputs)
      let dy = noise.array(k.samples * k.outputs * pixels)
      let residual = noise.array(dy.count)
      var y = [Double](repeating: 0, count: dy.count)
      var dx = [Double](repeating: 0, count: x.count)
      var dw = [Double](repeating: 0, count: w.count)
      forEachTap(k) { at, from, tap in
        y[at] += Double(x[from]) * Double(w[tap])
        dx[from] += Double(dy[at]) * Double(w[tap])
        dw[tap] += Double(x[from]) * Double(dy[at])
      }
      let plainY = y
      for at in y.indices { y[at] += Double(bias[at / pixels % k.outputs]) + Double(residual[at]) }

      func input<T: Numeric>(_ v: [T]) -> [T] { blocked(v, samples: k.samples, channels: k.inputs, pixels: pixels) }
      func output<T: Numeric>(_ v: [T]) -> [T] { blocked(v, samples: k.samples, channels: k.outputs, pixels: pixels) }
      func weights<T: Numeric>(_ v: [T]) -> [T] { blockedWeights(v, outputs: k.outputs, inputs: k.inputs, taps: 9) }

      var conv = ck_winograd(
        samples: k.samples, inputs: k.inputs, outputs: k.outputs, height: k.height, width: k.width)
      withThreads(k.threads) {
        // Few tiles take the weights as they are.
        let packs = ck_bf16_winograd_weights(&conv) > 0
        let transformed = packs ? Guarded(bytes: ck_bf16_winograd_weights(&conv)) : Guarded(weights(w))
        if packs { ck_bf16_winograd_transform(&conv, weights(w), transformed.pointer) }
        let workspace = Guarded(bytes: ck_bf16_winograd_forward_workspace(&conv))
        let found = Guarded(output(residual))
        ck_bf16_winograd_forward(
          &conv, input(x), transformed.pointer, bias, found.pointer, found.pointer, workspace.pointer)
        #expect(relativeError(found.values, output(y)) < Self.winogradBound)
        let unfused = Guarded(empty: found.count)
        ck_bf16_winograd_forward(
          &conv, input(x), transformed.pointer, nil, nil, unfused.pointer, workspace.pointer)
        #expect(relativeError(unfused.values, output(plainY)) < Self.winogradBound)

        let turns = ck_bf16_winograd_weights_backward(&conv) > 0
        let turned = turns ? Guarded(bytes: ck_bf16_winograd_weights_backward(&conv)) : Guarded(weights(w))
        if turns { ck_bf16_winograd_transform_backward(&conv, weights(w), turned.pointer) }
        let dataWorkspace = Guarded(bytes: ck_bf16_winograd_backward_data_workspace(&conv))
        let foundDx = Guarded(empty: x.count)
        ck_bf16_winograd_backward_data(
          &conv, output(dy), turned.pointer, nil, foundDx.pointer, dataWorkspace.pointer)
        #expect(relativeError(foundDx.values, input(dx)) < Self.winogradBound)

        let weightsWorkspace = Guarded(bytes: ck_bf16_winograd_backward_weights_workspace(&conv))
        let foundDw = Guarded(empty: w.count)
        ck_bf16_winograd_backward_weights(&conv, input(x), output(dy), foundDw.pointer, weightsWorkspace.pointer)
        #expect(relativeError(foundDw.values, weights(dw)) < Self.winogradBound)

        for buffer in [
          transformed, turned, workspace, dataWorkspace, weightsWorkspace, found, unfused, foundDx, foundDw,
        ] {
          #expect(buffer.isIntact)
        }
      }
    }

    static let pointwiseCases = [
      ConvCase(samples: 2, inputs: 32, outputs: 32, height: 8, width: 8),
      ConvCase(samples: 1, inputs: 16, outputs: 48, height: 7, width: 7, threads: 3),
      ConvCase(samples: 3, inputs: 48, outputs: 16, height: 5, width: 1, threads: 1),
      ConvCase(samples: 1, inputs: 16, outputs: 16, height: 1, width: 1, threads: 4),
      ConvCase(samples: 1, inputs: 288, outputs: 272, height: 3, width: 9),
      // More positions than one block of the weights' gradient has.
      ConvCase(samples: 2, inputs: 16, outputs: 16, height: 150, width: 151, threads: 2),
    ]

    /// Small integers are bfloat16, and so are their sums of products 32-bit numbers: what is found is exact.
    @Test(arguments: pointwiseCases) func pointwise(_ k: ConvCase) {
      var noise = Noise(12)
      func integers(_ count: Int) -> [Float] { (0..<count).map { _ in (noise.next() * 8).rounded(.down) } }
      let pixels = k.height * k.width
      let x = integers(k.samples * k.inputs * pixels), w = integers(k.outputs * k.inputs), bias = integers(k.outputs)
      let dy = integers(k.samples * k.outputs * pixels), residual = integers(dy.count)
      var y = residual, plainY = [Float](repeating: 0, count: dy.count)
      var dx = [Float](repeating: 0, count: x.count), dw = [Float](repeating: 0, count: w.count)
      for n in 0..<k.samples {
        for o in 0..<k.outputs {
          for p in 0..<pixels { y[(n * k.outputs + o) * pixels + p] += bias[o] }
          for i in 0..<k.inputs {
            let weight = w[o * k.inputs + i]
            for p in 0..<pixels {
              let (at, from) = ((n * k.outputs + o) * pixels + p, (n * k.inputs + i) * pixels + p)
              plainY[at] += x[from] * weight
              y[at] += x[from] * weight
              dx[from] += dy[at] * weight
              dw[o * k.inputs + i] += x[from] * dy[at]
            }
          }
        }
      }

      func input(_ v: [Float]) -> [Float] { blocked(v, samples: k.samples, channels: k.inputs, pixels: pixels) }
      func output(_ v: [Float]) -> [Float] { blocked(v, samples: k.samples, channels: k.outputs, pixels: pixels) }
      func weights(_ v: [Float]) -> [Float] { blockedWeights(v, outputs: k.outputs, inputs: k.inputs, taps: 1) }

      var conv = ck_pointwise(samples: k.samples, inputs: k.inputs, outputs: k.outputs, pixels: pixels)
      withThreads(k.threads) {
        let packed = Guarded(bytes: ck_bf16_pointwise_weights(&conv))
        ck_bf16_pointwise_pack(&conv, weights(w), packed.pointer)
        let workspace = Guarded(bytes: ck_bf16_pointwise_forward_workspace(&conv))
        let found = Guarded(output(residual))
        ck_bf16_pointwise_forward(
          &conv, input(x), packed.pointer, bias, found.pointer, found.pointer, workspace.pointer)
        #expect(found.values == output(y))
        let unfused = Guarded(empty: found.count)
        ck_bf16_pointwise_forward(&conv, input(x), packed.pointer, nil, nil, unfused.pointer, workspace.pointer)
        #expect(unfused.values == output(plainY))

        let turned = Guarded(bytes: ck_bf16_pointwise_weights(&conv))
        ck_bf16_pointwise_pack_backward(&conv, weights(w), turned.pointer)
        let dataWorkspace = Guarded(bytes: ck_bf16_pointwise_backward_data_workspace(&conv))
        let foundDx = Guarded(empty: x.count)
        ck_bf16_pointwise_backward_data(
          &conv, output(dy), turned.pointer, nil, foundDx.pointer, dataWorkspace.pointer)
        #expect(foundDx.values == input(dx))

        let weightsWorkspace = Guarded(bytes: ck_bf16_pointwise_backward_weights_workspace(&conv))
        let foundDw = Guarded(empty: w.count)
        ck_bf16_pointwise_backward_weights(&conv, input(x), output(dy), foundDw.pointer, weightsWorkspace.pointer)
        #expect(foundDw.values == weights(dw))

        for buffer in [packed, turned, workspace, dataWorkspace, weightsWorkspace, found, unfused, foundDx, foundDw] {
          #expect(buffer.isIntact)
        }
      }
    }
  }
}

extension Guarded {
  /// Memory for something else than floats, filled with NaN.
  fileprivate convenience init(bytes: Int) { self.init(empty: (bytes + 3) / 4) }
}
