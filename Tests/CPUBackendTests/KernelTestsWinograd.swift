import CKernels
import Testing

struct ConvCase: CustomTestStringConvertible, Sendable {
  var samples: Int, inputs: Int, outputs: Int, height: Int, width: Int
  var threads: Int32 = 2
  var testDescription: String { "N\(samples) \(inputs)→\(outputs) \(height)×\(width) threads \(threads)" }

  static let table = [
    ConvCase(samples: 2, inputs: 32, outputs: 32, height: 8, width: 8),
    ConvCase(samples: 1, inputs: 16, outputs: 48, height: 7, width: 5),
    ConvCase(samples: 3, inputs: 48, outputs: 16, height: 14, width: 14),
    ConvCase(samples: 1, inputs: 16, outputs: 16, height: 28, width: 28, threads: 3),
    ConvCase(samples: 2, inputs: 16, outputs: 32, height: 1, width: 1),
    ConvCase(samples: 1, inputs: 80, outputs: 64, height: 4, width: 9, threads: 5),
    ConvCase(samples: 1, inputs: 64, outputs: 32, height: 3, width: 2, threads: 1),
    ConvCase(samples: 7, inputs: 272, outputs: 288, height: 5, width: 6, threads: 2),
    // More tiles than the weights' gradient takes together.
    ConvCase(samples: 4, inputs: 80, outputs: 64, height: 32, width: 29, threads: 2),
  ]
}

/// Calls `body` for each (output, input, tap) that a 3×3 convolution with padding 1 multiplies.
func forEachTap(_ k: ConvCase, _ body: (_ y: Int, _ x: Int, _ w: Int) -> Void) {
  let (h, w) = (k.height, k.width)
  for n in 0..<k.samples {
    for o in 0..<k.outputs {
      for i in 0..<k.inputs {
        for row in 0..<h {
          for column in 0..<w {
            for tap in 0..<9 {
              let (r, c) = (row + tap / 3 - 1, column + tap % 3 - 1)
              guard r >= 0, r < h, c >= 0, c < w else { continue }
              body(
                ((n * k.outputs + o) * h + row) * w + column, ((n * k.inputs + i) * h + r) * w + c,
                (o * k.inputs + i) * 9 + tap)
            }
          }
        }
      }
    }
  }
}

/// A 3×3 convolution of white noise and its gradients in 64 bits, in plain order; kernels have their channels in blocks.
struct ConvOracle {
  let x, w, bias, dy, residual: [Float]
  /// Without bias and residual, and with them.
  let plainY, y, dx, dw: [Double]
  private let k: ConvCase
  private var pixels: Int { k.height * k.width }

  init(_ k: ConvCase) {
    self.k = k
    var noise = Noise(11)
    let pixels = k.height * k.width
    x = noise.array(k.samples * k.inputs * pixels)
    w = noise.array(k.outputs * k.inputs * 9)
    bias = noise.array(k.outputs)
    dy = noise.array(k.samples * k.outputs * pixels)
    residual = noise.array(dy.count)
    var y = [Double](repeating: 0, count: dy.count)
    var dx = [Double](repeating: 0, count: x.count)
    var dw = [Double](repeating: 0, count: w.count)
    let (xd, wd, dyd) = (x.map(Double.init), w.map(Double.init), dy.map(Double.init))
    forEachTap(k) { at, from, tap in
      y[at] += xd[from] * wd[tap]
      dx[from] += dyd[at] * wd[tap]
      dw[tap] += xd[from] * dyd[at]
    }
    plainY = y
    for at in y.indices { y[at] += Double(bias[at / pixels % k.outputs]) + Double(residual[at]) }
    (self.y, self.dx, self.dw) = (y, dx, dw)
  }

  func input<T: Numeric>(_ v: [T]) -> [T] { blocked(v, samples: k.samples, channels: k.inputs, pixels: pixels) }
  func output<T: Numeric>(_ v: [T]) -> [T] { blocked(v, samples: k.samples, channels: k.outputs, pixels: pixels) }
  func weights<T: Numeric>(_ v: [T]) -> [T] { blockedWeights(v, outputs: k.outputs, inputs: k.inputs, taps: 9) }
}

extension KernelTests {
  /// And with more weights than are transformed beforehand: up to four tiles, whose sums are in registers; tiles that threads share, with fewer
  /// and with more threads than panels; two rounds of tiles of their own; sums of more than 256 inputs.
  static let winogradCases =
    ConvCase.table + [
      ConvCase(samples: 1, inputs: 80, outputs: 96, height: 4, width: 4),
      ConvCase(samples: 1, inputs: 96, outputs: 80, height: 4, width: 6, threads: 1),
      ConvCase(samples: 3, inputs: 288, outputs: 48, height: 3, width: 4),
      ConvCase(samples: 1, inputs: 112, outputs: 80, height: 8, width: 7, threads: 3),
      ConvCase(samples: 2, inputs: 80, outputs: 96, height: 9, width: 11, threads: 7),
      ConvCase(samples: 3, inputs: 272, outputs: 48, height: 11, width: 8),
      ConvCase(samples: 3, inputs: 80, outputs: 112, height: 33, width: 34),
    ]

  @Test(arguments: winogradCases) func winograd(_ k: ConvCase) {
    let o = ConvOracle(k)
    var conv = ck_winograd(
      samples: k.samples, inputs: k.inputs, outputs: k.outputs, height: k.height, width: k.width)
    withThreads(k.threads) {
      let packs = ck_winograd_weights(&conv) > 0
      let transformed = packs ? Guarded(empty: ck_winograd_weights(&conv)) : Guarded(o.weights(o.w))
      if packs { ck_winograd_transform(&conv, o.weights(o.w), transformed.pointer) }
      let workspace = Guarded(empty: ck_winograd_forward_workspace(&conv))
      let found = Guarded(o.output(o.residual))
      ck_winograd_forward(
        &conv, o.input(o.x), transformed.pointer, o.bias, found.pointer, found.pointer, workspace.pointer)
      #expect(relativeError(found.values, o.output(o.y)) < 1e-5)
      let unfused = Guarded(empty: found.count)
      ck_winograd_forward(&conv, o.input(o.x), transformed.pointer, nil, nil, unfused.pointer, workspace.pointer)
      #expect(relativeError(unfused.values, o.output(o.plainY)) < 1e-5)

      let turned = packs ? Guarded(empty: ck_winograd_weights(&conv)) : Guarded(o.weights(o.w))
      if packs { ck_winograd_transform_backward(&conv, o.weights(o.w), turned.pointer) }
      let dataWorkspace = Guarded(empty: ck_winograd_backward_data_workspace(&conv))
      let foundDx = Guarded(empty: o.input(o.x).count)
      ck_winograd_backward_data(&conv, o.output(o.dy), turned.pointer, nil, foundDx.pointer, dataWorkspace.pointer)
      #expect(relativeError(foundDx.values, o.input(o.dx)) < 1e-5)

      let weightsWorkspace = Guarded(empty: ck_winograd_backward_weights_workspace(&conv))
      let foundDw = Guarded(empty: o.weights(o.w).count)
      ck_winograd_backward_weights(&conv, o.input(o.x), o.output(o.dy), foundDw.pointer, weightsWorkspace.pointer)
      #expect(relativeError(foundDw.values, o.weights(o.dw)) < 1e-5)

      for buffer in [transformed, turned, workspace, dataWorkspace, weightsWorkspace, found, unfused, foundDx, foundDw]
      {
        #expect(buffer.isIntact)
      }
    }
  }
}
