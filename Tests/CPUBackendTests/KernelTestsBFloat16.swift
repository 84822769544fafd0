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

    /// And with more tiles; and with more weights than are transformed beforehand: tiles that threads share, fewer and more than panels, and
    /// tiles of their own.
    static let winogradCases =
      ConvCase.table + [
        ConvCase(samples: 3, inputs: 32, outputs: 48, height: 19, width: 21),
        ConvCase(samples: 1, inputs: 80, outputs: 80, height: 33, width: 33, threads: 3),
        // More threads than tiles, and than parts of the channels; sums of every thread, one part.
        ConvCase(samples: 1, inputs: 32, outputs: 96, height: 4, width: 4, threads: 6),
        ConvCase(samples: 3, inputs: 32, outputs: 64, height: 4, width: 4, threads: 6),
        ConvCase(samples: 4, inputs: 80, outputs: 48, height: 20, width: 20, threads: 7),
        ConvCase(samples: 4, inputs: 16, outputs: 16, height: 24, width: 24, threads: 3),
        ConvCase(samples: 1, inputs: 128, outputs: 144, height: 4, width: 5, threads: 7),
        ConvCase(samples: 2, inputs: 144, outputs: 112, height: 9, width: 11, threads: 3),
        ConvCase(samples: 3, inputs: 288, outputs: 80, height: 20, width: 21),
      ]

    @Test(arguments: winogradCases) func winograd(_ k: ConvCase) {
      let o = ConvOracle(k)
      var conv = ck_winograd(
        samples: k.samples, inputs: k.inputs, outputs: k.outputs, height: k.height, width: k.width)
      withThreads(k.threads) {
        let packs = ck_bf16_winograd_weights(&conv) > 0
        let transformed = packs ? Guarded(bytes: ck_bf16_winograd_weights(&conv)) : Guarded(o.weights(o.w))
        if packs { ck_bf16_winograd_transform(&conv, o.weights(o.w), transformed.pointer) }
        let workspace = Guarded(bytes: ck_bf16_winograd_forward_workspace(&conv))
        let found = Guarded(o.output(o.residual))
        ck_bf16_winograd_forward(
          &conv, o.input(o.x), transformed.pointer, o.bias, found.pointer, found.pointer, workspace.pointer)
        #expect(relativeError(found.values, o.output(o.y)) < Self.winogradBound)
        let unfused = Guarded(empty: found.count)
        ck_bf16_winograd_forward(
          &conv, o.input(o.x), transformed.pointer, nil, nil, unfused.pointer, workspace.pointer)
        #expect(relativeError(unfused.values, o.output(o.plainY)) < Self.winogradBound)

        // Weights that are bfloat16 already.
        let words = Guarded(empty: o.w.count / 2)
        if !packs {
          words.pointer.withMemoryRebound(to: UInt32.self, capacity: words.count) {
            ck_round_pairs(o.weights(o.w), $0, o.w.count / 32)
            ck_widen_pairs($0, transformed.pointer, o.w.count / 32)
          }
          let expected = Guarded(empty: found.count)
          for (weights, result, run) in [
            (transformed, expected, ck_bf16_winograd_forward), (words, found, ck_bf16_winograd_forward_of_words),
          ] {
            run(&conv, o.input(o.x), weights.pointer, o.bias, nil, result.pointer, workspace.pointer)
          }
          #expect(found.values == expected.values)
        }

        let turned = packs ? Guarded(bytes: ck_bf16_winograd_weights(&conv)) : Guarded(o.weights(o.w))
        if packs { ck_bf16_winograd_transform_backward(&conv, o.weights(o.w), turned.pointer) }
        let dataWorkspace = Guarded(bytes: ck_bf16_winograd_backward_data_workspace(&conv))
        let foundDx = Guarded(empty: o.x.count)
        ck_bf16_winograd_backward_data(
          &conv, o.output(o.dy), turned.pointer, nil, foundDx.pointer, dataWorkspace.pointer)
        #expect(relativeError(foundDx.values, o.input(o.dx)) < Self.winogradBound)

        let weightsWorkspace = Guarded(bytes: ck_bf16_winograd_backward_weights_workspace(&conv))
        let foundDw = Guarded(empty: o.w.count)
        ck_bf16_winograd_backward_weights(
          &conv, o.input(o.x), o.output(o.dy), foundDw.pointer, weightsWorkspace.pointer)
        #expect(relativeError(foundDw.values, o.weights(o.dw)) < Self.winogradBound)

        for buffer in [
          transformed, words, turned, workspace, dataWorkspace, weightsWorkspace, found, unfused, foundDx, foundDw,
        ] {
          #expect(buffer.isIntact)
        }
      }
    }

    /// SiLU for what is rounded next: as the other within 2⁻¹² for arguments of either sign, beyond −80 too, where the other stays at e⁻⁸⁰; and of
    /// what is no number.
    @Test func roughSiLU() {
      var noise = Noise(7)
      var x = noise.array(2 * 48 * 50)
      // Each value cubed many times over: most near 0, some far out once they are divided by their deviation.
      for i in x.indices { x[i] = x[i] * x[i] * x[i] * (i % 97 == 0 ? 100 : 1) }
      func run(_ activation: ck_activation, _ x: [Float]) -> [Float] {
        var norm = ck_group_norm(
          samples: 2, channels: 48, pixels: 50, groups: 3, epsilon: 1e-5, activation: activation, format: CK_BLOCKED)
        let gamma = [Float](repeating: 5, count: 48), beta = [Float](repeating: -1, count: 48)
        let y = Guarded(empty: x.count), (mean, rstd) = (Guarded(empty: 6), Guarded(empty: 6))
        let workspace = Guarded(empty: ck_group_norm_workspace(&norm))
        ck_group_norm_forward(
          &norm, x, nil, gamma, beta, y.pointer, mean.pointer, rstd.pointer, workspace.pointer)
        #expect(y.isIntact && workspace.isIntact)
        return y.values
      }
      withThreads(2) {
        let (exact, rough) = (run(CK_ACTIVATION_SILU, x), run(CK_ACTIVATION_ROUGH_SILU, x))
        #expect(exact != rough && (exact.max() ?? 0) > 50 && exact.contains { $0 < 0 && $0 > -1e-20 })
        #expect(zip(rough, exact).allSatisfy { abs($0 - $1) <= 0x1p-12 * abs($1) + 1e-32 })
        x[3] = .nan
        let broken = run(CK_ACTIVATION_ROUGH_SILU, x).prefix(50 * 16)
        #expect(broken.allSatisfy { $0.isNaN })
      }
    }

    /// Small integers are bfloat16, and so are their sums of products 32-bit numbers: what is found is exact.
    @Test(arguments: DirectCase.table.filter(\.isBlocked)) func direct(_ k: DirectCase) {
      let o = DirectOracle(k)
      var conv = k.description
      withThreads(k.threads) {
        let packed = Guarded(bytes: ck_bf16_direct_weights(&conv))
        ck_bf16_direct_pack(&conv, o.w, packed.pointer)
        let workspace = Guarded(bytes: ck_bf16_direct_forward_workspace(&conv))
        o.expectForward { ck_bf16_direct_forward(&conv, $0, packed.pointer, $1, $2, $3, workspace.pointer) }

        let turned = Guarded(bytes: ck_bf16_direct_weights(&conv))
        let dataWorkspace = Guarded(bytes: ck_bf16_direct_backward_data_workspace(&conv))
        ck_bf16_direct_pack_backward(&conv, o.w, turned.pointer)
        let weightsWorkspace = Guarded(bytes: ck_bf16_direct_backward_weights_workspace(&conv))
        o.expectGradients(
          { ck_bf16_direct_backward_data(&conv, $0, turned.pointer, $1, $2, dataWorkspace.pointer) },
          { ck_bf16_direct_backward_weights(&conv, $0, $1, $2, weightsWorkspace.pointer) })

        for buffer in [packed, turned, workspace, dataWorkspace, weightsWorkspace] { #expect(buffer.isIntact) }
      }
    }
  }
}

extension Guarded {
  /// Memory for something else than floats, filled with NaN.
  fileprivate convenience init(bytes: Int) { self.init(empty: (bytes + 3) / 4) }
}
