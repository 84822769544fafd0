import CKernels
import Testing

/// A convolution of any shape. Padding after is what the output's size leaves.
struct DirectCase: CustomTestStringConvertible, Sendable {
  var samples: Int, inputs: Int, outputs: Int, height: Int, width: Int
  var kernel = (rows: 1, columns: 1)
  var stride = 1
  /// Above and to the left; below and to the right.
  var before = (rows: 0, columns: 0), after = (rows: 0, columns: 0)
  var threads: Int32 = 2

  init(
    _ samples: Int, _ inputs: Int, _ outputs: Int, _ height: Int, _ width: Int, kernel: Int = 1, stride: Int = 1,
    before: Int = 0, after: Int = 0, threads: Int32 = 2
  ) {
    (self.samples, self.inputs, self.outputs, self.height, self.width) = (samples, inputs, outputs, height, width)
    (self.kernel, self.stride) = ((kernel, kernel), stride)
    (self.before, self.after, self.threads) = ((before, before), (after, after), threads)
  }

  func with(kernel: (Int, Int), before: (Int, Int), after: (Int, Int)) -> DirectCase {
    var other = self
    (other.kernel, other.before, other.after) = (kernel, before, after)
    return other
  }

  static let table = [
    DirectCase(2, 32, 32, 8, 8),
    DirectCase(1, 16, 48, 7, 7, threads: 3),
    DirectCase(3, 48, 16, 5, 1, threads: 1),
    DirectCase(1, 16, 16, 1, 1, threads: 4),
    DirectCase(1, 288, 272, 3, 9),
    DirectCase(1, 288, 272, 3, 9, threads: 5),
    // More positions than one block of the weights' gradient has; and images larger than what is read in place at a time.
    DirectCase(2, 16, 16, 150, 151),
    DirectCase(3, 32, 80, 13, 11, threads: 2),
    DirectCase(2, 32, 48, 7, 9, kernel: 3, stride: 2, before: 1, after: 1),
    DirectCase(3, 16, 16, 8, 8, kernel: 3, stride: 2, after: 1, threads: 3),
    DirectCase(1, 32, 16, 5, 4, kernel: 3, before: 2, after: 2),
    // Pixels that no tap reaches.
    DirectCase(1, 16, 32, 9, 5, stride: 2),
    DirectCase(2, 64, 32, 20, 20, kernel: 4, stride: 3, before: 1, after: 2, threads: 4),
    DirectCase(1, 16, 32, 6, 7).with(kernel: (3, 1), before: (1, 0), after: (1, 0)),
    DirectCase(1, 32, 16, 6, 7).with(kernel: (1, 4), before: (0, 3), after: (0, 1)),
    // Channels that fill no block: of the input, of the output, of both.
    DirectCase(2, 3, 32, 9, 10, kernel: 3, before: 1, after: 1),
    DirectCase(2, 1, 16, 28, 28, kernel: 3, before: 1, after: 1, threads: 3),
    DirectCase(2, 32, 3, 9, 10, kernel: 3, before: 1, after: 1),
    DirectCase(1, 48, 70, 5, 6, threads: 3),
    DirectCase(3, 24, 40, 7, 7, kernel: 3, stride: 2, before: 1, after: 1),
    DirectCase(1, 5, 7, 11, 4, kernel: 4, stride: 2, before: 1, after: 2, threads: 1),
    DirectCase(1, 4, 4, 8, 8, kernel: 2, stride: 3),
  ]

  var isBlocked: Bool { inputs % 16 == 0 && outputs % 16 == 0 }
  var rows: Int { (height + before.rows + after.rows - kernel.rows) / stride + 1 }
  var columns: Int { (width + before.columns + after.columns - kernel.columns) / stride + 1 }
  var taps: Int { kernel.rows * kernel.columns }
  var description: ck_direct {
    ck_direct(
      samples: samples, inputs: inputs, outputs: outputs, height: height, width: width, out_height: rows,
      out_width: columns, kernel_height: kernel.rows, kernel_width: kernel.columns, stride: stride, top: before.rows,
      left: before.columns)
  }
  var testDescription: String {
    "N\(samples) \(inputs)→\(outputs) \(height)×\(width) kernel \(kernel) stride \(stride) padding \(before) \(after) threads \(threads)"
  }
}

/// Operands that are small integers, laid out as kernels have them, and what convolutions make of them by their definition: exact in 32 bits.
struct DirectOracle {
  let k: DirectCase
  let x: [Float], w: [Float], bias: [Float], residual: [Float], dy: [Float], inputResidual: [Float]
  /// With bias and residual; without either.
  let y: [Float], plainY: [Float]
  /// With `inputResidual`.
  let dx: [Float]
  let dw: [Float]

  init(_ k: DirectCase) {
    var noise = Noise(12)
    func integers(_ count: Int) -> [Float] { (0..<count).map { _ in (noise.next() * 8).rounded(.down) } }
    let (pixels, outPixels) = (k.height * k.width, k.rows * k.columns)
    let x = integers(k.samples * k.inputs * pixels), w = integers(k.outputs * k.inputs * k.taps)
    let bias = integers(k.outputs), dy = integers(k.samples * k.outputs * outPixels), residual = integers(dy.count)
    let inputResidual = integers(x.count)
    var plainY = [Float](repeating: 0, count: dy.count), dx = inputResidual
    var dw = [Float](repeating: 0, count: w.count)
    for n in 0..<k.samples {
      for position in 0..<outPixels {
        for tap in 0..<k.taps {
          let row = position / k.columns * k.stride + tap / k.kernel.columns - k.before.rows
          let column = position % k.columns * k.stride + tap % k.kernel.columns - k.before.columns
          guard row >= 0, row < k.height, column >= 0, column < k.width else { continue }
          for o in 0..<k.outputs {
            for i in 0..<k.inputs {
              let at = (n * k.outputs + o) * outPixels + position
              let from = ((n * k.inputs + i) * k.height + row) * k.width + column
              let weight = (o * k.inputs + i) * k.taps + tap
              plainY[at] += x[from] * w[weight]
              dx[from] += dy[at] * w[weight]
              dw[weight] += x[from] * dy[at]
            }
          }
        }
      }
    }
    let y = plainY.indices.map { plainY[$0] + residual[$0] + bias[$0 / outPixels % k.outputs] }

    func input(_ v: [Float]) -> [Float] {
      k.inputs % 16 == 0 ? blocked(v, samples: k.samples, channels: k.inputs, pixels: pixels) : v
    }
    func output(_ v: [Float]) -> [Float] {
      k.outputs % 16 == 0 ? blocked(v, samples: k.samples, channels: k.outputs, pixels: outPixels) : v
    }
    func weights(_ v: [Float]) -> [Float] {
      k.isBlocked ? blockedWeights(v, outputs: k.outputs, inputs: k.inputs, taps: k.taps) : v
    }
    (self.k, self.bias) = (k, bias)
    (self.x, self.dx, self.inputResidual) = (input(x), input(dx), input(inputResidual))
    (self.y, self.plainY, self.residual, self.dy) = (output(y), output(plainY), output(residual), output(dy))
    (self.w, self.dw) = (weights(w), weights(dw))
  }

  /// Runs `forward(x, bias, residual, y)` with everything, with x alone, and with x in two parts.
  func expectForward(
    _ forward: (ck_parts, UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafeMutablePointer<Float>) -> Void
  ) {
    let (source, biases) = (Guarded(x), Guarded(bias))
    let whole = ck_parts(x: source.pointer, rest: nil, first: 0)
    let found = Guarded(residual), unfused = Guarded(empty: y.count)
    forward(whole, biases.pointer, found.pointer, found.pointer)
    #expect(found.values == y)
    forward(whole, nil, nil, unfused.pointer)
    #expect(unfused.values == plainY)
    if k.inputs % 16 == 0, k.inputs > 16 {
      let parts = split(x, samples: k.samples, at: 16 * k.height * k.width).map { Guarded($0) }
      let again = Guarded(empty: y.count)
      forward(ck_parts(x: parts[0].pointer, rest: parts[1].pointer, first: 16), nil, nil, again.pointer)
      #expect(again.values == plainY)
      for buffer in parts + [again] { #expect(buffer.isIntact) }
    }
    for buffer in [source, biases, found, unfused] { #expect(buffer.isIntact) }
  }
}

extension DirectOracle {
  /// Runs `backwardData(dy, residual, dx)` and `backwardWeights(x, dy, dw)`.
  func expectGradients(
    _ backwardData: (UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void,
    _ backwardWeights: (UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void
  ) {
    let foundDx = Guarded(inputResidual), foundDw = Guarded(empty: w.count)
    let (source, upstream) = (Guarded(x), Guarded(dy))
    backwardData(upstream.pointer, foundDx.pointer, foundDx.pointer)
    #expect(foundDx.values == dx)
    backwardWeights(source.pointer, upstream.pointer, foundDw.pointer)
    #expect(foundDw.values == dw)
    for buffer in [source, upstream, foundDx, foundDw] { #expect(buffer.isIntact) }
  }
}

extension KernelTests {
  @Test(arguments: DirectCase.table) func direct(_ k: DirectCase) {
    let o = DirectOracle(k)
    var conv = k.description
    withThreads(k.threads) {
      let packs = ck_direct_forward_weights(&conv) > 0
      let packed = packs ? Guarded(empty: ck_direct_forward_weights(&conv)) : Guarded(o.w)
      if packs { ck_direct_pack(&conv, o.w, packed.pointer) }
      let workspace = Guarded(empty: ck_direct_forward_workspace(&conv))
      o.expectForward { ck_direct_forward(&conv, $0, packed.pointer, $1, $2, $3, workspace.pointer) }

      let turned = Guarded(empty: ck_direct_backward_data_weights(&conv))
      let dataWorkspace = Guarded(empty: ck_direct_backward_data_workspace(&conv))
      ck_direct_pack_backward(&conv, o.w, turned.pointer)
      let weightsWorkspace = Guarded(empty: ck_direct_backward_weights_workspace(&conv))
      o.expectGradients(
        { ck_direct_backward_data(&conv, $0, turned.pointer, $1, $2, dataWorkspace.pointer) },
        { ck_direct_backward_weights(&conv, $0, $1, $2, weightsWorkspace.pointer) })

      for buffer in [packed, turned, workspace, dataWorkspace, weightsWorkspace] { #expect(buffer.isIntact) }
    }
  }
}
