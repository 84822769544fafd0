import CKernels
import Testing

extension KernelTests {
  /// One band an image, more bands than images, images so wide that a band is a few rows.
  static let thinCases = [
    ConvCase(samples: 2, inputs: 32, outputs: 1, height: 28, width: 28),
    ConvCase(samples: 1, inputs: 16, outputs: 3, height: 7, width: 5, threads: 3),
    ConvCase(samples: 1, inputs: 48, outputs: 2, height: 1, width: 1, threads: 4),
    ConvCase(samples: 3, inputs: 128, outputs: 3, height: 9, width: 32, threads: 5),
    ConvCase(samples: 1, inputs: 16, outputs: 3, height: 6, width: 1_500, threads: 1),
  ]

  /// A network's last layer, whose outputs are planes, not blocks.
  @Test(arguments: thinCases) func thinConvolution(_ k: ConvCase) {
    let o = ConvOracle(k)
    var conv = ck_thin(samples: k.samples, inputs: k.inputs, outputs: k.outputs, height: k.height, width: k.width)
    withThreads(k.threads) {
      let packed = Guarded(empty: ck_thin_weights(&conv))
      ck_thin_pack(&conv, o.w, packed.pointer)
      let workspace = Guarded(empty: ck_thin_workspace(&conv))
      let found = Guarded(o.residual)
      ck_thin_forward(&conv, o.input(o.x), packed.pointer, o.bias, found.pointer, found.pointer, workspace.pointer)
      #expect(relativeError(found.values, o.y) < 1e-6)
      let unfused = Guarded(empty: found.count)
      ck_thin_forward(&conv, o.input(o.x), packed.pointer, nil, nil, unfused.pointer, workspace.pointer)
      #expect(relativeError(unfused.values, o.plainY) < 1e-6)
      for buffer in [packed, workspace, found, unfused] { #expect(buffer.isIntact) }
    }
  }
}
