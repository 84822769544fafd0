import CKernels
import Testing

extension KernelTests {
  @Test(arguments: [(2, 32, 49), (1, 16, 16), (3, 3, 5), (2, 40, 33), (1, 1, 1)])
  func plainAndBlocked(_ samples: Int, _ channels: Int, _ pixels: Int) {
    var noise = Noise(1)
    let x = noise.array(samples * channels * pixels)
    let expected = blocked(x, samples: samples, channels: channels, pixels: pixels)
    withThreads(2) {
      let y = Guarded(empty: expected.count)
      ck_plain_to_blocked(x, y.pointer, samples, channels, pixels)
      #expect(y.values == expected)
      let back = Guarded(empty: x.count)
      ck_blocked_to_plain(y.pointer, back.pointer, samples, channels, pixels)
      #expect(back.values == x)
      #expect(y.isIntact && back.isIntact)
    }
  }

  @Test(arguments: [(32, 16, 9), (3, 20, 1), (17, 5, 9)]) func weightLayouts(_ outputs: Int, _ inputs: Int, _ taps: Int)
  {
    var noise = Noise(1)
    let w = noise.array(outputs * inputs * taps)
    let expected = blockedWeights(w, outputs: outputs, inputs: inputs, taps: taps)
    withThreads(2) {
      let y = Guarded(empty: expected.count)
      ck_weights_to_blocked(w, y.pointer, outputs, inputs, taps)
      #expect(y.values == expected)
      let back = Guarded(empty: w.count)
      ck_weights_to_plain(y.pointer, back.pointer, outputs, inputs, taps)
      #expect(back.values == w)
      #expect(y.isIntact && back.isIntact)
    }
  }

  /// The nearest bfloat16, of two as near the even one; and back, exactly. Rows of 16 are paired.
  @Test(arguments: [1, 3] as [Int32]) func roundedPairs(threads: Int32) {
    var noise = Noise(2)
    var x = noise.array(32 * 9, scale: 100)
    let special: [Float] = [
      0, -0, 1, 1 + 0x1p-8, 1 + 0x3p-8, 1 + 0x1p-8 + 0x1p-20, -1 - 0x3p-8, .infinity, -.infinity, .nan,
      .greatestFiniteMagnitude,
      .leastNonzeroMagnitude, 0x1p-130, Float(bitPattern: 0x7f80_0001),
    ]
    x.replaceSubrange(20..<20 + special.count, with: special)
    // 8 bits of precision: 16 of the 24 go.
    let expected = x.map { x in
      guard x.isFinite else { return x }
      let step = 0x1p16 * max(Double(x.ulp), 0x1p-149)
      let rounded = (Double(x) / step).rounded(.toNearestOrEven) * step
      return Float(rounded)
    }
    withThreads(threads) {
      let words = Guarded(empty: x.count / 2), back = Guarded(empty: x.count)
      words.pointer.withMemoryRebound(to: UInt32.self, capacity: words.count) {
        ck_round_pairs(x, $0, x.count / 32)
        ck_widen_pairs($0, back.pointer, x.count / 32)
        for (i, number) in expected.enumerated() {
          let half = $0[i / 32 * 16 + i % 16] >> (i % 32 < 16 ? 0 : 16) & 0xffff
          #expect(
            number.isNaN ? back.pointer[i].isNaN : half == number.bitPattern >> 16 && back.pointer[i] == number,
            "\(x[i])")
        }
      }
      #expect(words.isIntact && back.isIntact)
    }
  }

  /// Concatenates [2][48][9] and [2][16][9] blocked, and takes the second part back.
  @Test func concatenation() {
    var noise = Noise(1)
    let (a, b) = (noise.array(2 * 48 * 9), noise.array(2 * 16 * 9))
    withThreads(2) {
      let whole = Guarded(empty: 2 * 64 * 9)
      ck_copy_rows(a, 48 * 9, whole.pointer, 64 * 9, 2, 48 * 9)
      ck_copy_rows(b, 16 * 9, whole.pointer + 48 * 9, 64 * 9, 2, 16 * 9)
      var expected: [Float] = []
      for n in 0..<2 {
        expected += a[n * 48 * 9..<(n + 1) * 48 * 9]
        expected += b[n * 16 * 9..<(n + 1) * 16 * 9]
      }
      #expect(whole.values == expected)
      let part = Guarded(empty: b.count)
      ck_copy_rows(whole.pointer + 48 * 9, 64 * 9, part.pointer, 16 * 9, 2, 16 * 9)
      #expect(part.values == b)
      // One row longer than a piece.
      let long = noise.array(40_000)
      let copy = Guarded(empty: 40_000)
      ck_copy_rows(long, 40_000, copy.pointer, 40_000, 1, 40_000)
      #expect(copy.values == long)
      #expect(whole.isIntact && part.isIntact && copy.isIntact)
    }
  }

  @Test func transposition() {
    var noise = Noise(1)
    let table: [([Int], [Int])] = [
      ([5], [0]), ([40, 33], [1, 0]), ([3, 40, 50], [0, 2, 1]), ([2, 17, 3, 20], [0, 3, 1, 2]),
      ([2, 3, 4, 5, 6, 7], [5, 3, 1, 0, 2, 4]),
      ([20, 2, 18], [2, 1, 0]), ([4, 4, 4], [1, 0, 2]), ([1, 32, 32], [2, 0, 1]),
    ]
    for (shape, permutation) in table {
      let count = shape.reduce(1, *)
      let x = noise.array(count)
      var strides = [Int](repeating: 1, count: shape.count)
      for d in shape.indices.dropLast().reversed() { strides[d] = strides[d + 1] * shape[d + 1] }
      let permuted = permutation.map { shape[$0] }
      let expected = (0..<count).map { linear in
        var (rest, at) = (linear, 0)
        for d in permuted.indices.reversed() {
          at += rest % permuted[d] * strides[permutation[d]]
          rest /= permuted[d]
        }
        return x[at]
      }
      for threads: Int32 in [1, 3] {
        withThreads(threads) {
          let y = Guarded(empty: count)
          ck_transpose(x, y.pointer, Int32(shape.count), shape, permutation)
          #expect(y.values == expected, "\(shape) \(permutation)")
          #expect(y.isIntact)
        }
      }
    }
  }

  /// A window of a larger tensor, and a flip.
  @Test func stridedViews() {
    var noise = Noise(1)
    let x = noise.array(6 * 10)
    withThreads(2) {
      let window = Guarded(empty: 3 * 4)
      x.withUnsafeBufferPointer { x in
        if let base = x.baseAddress { ck_gather_strided(base + 12, [10, 1], window.pointer, 2, [3, 4]) }
      }
      let inside = (0..<12).map { (i: Int) -> Float in x[12 + (i / 4) * 10 + i % 4] }
      #expect(window.values == inside)
      let flipped = Guarded(empty: 60)
      x.withUnsafeBufferPointer { x in
        if let base = x.baseAddress { ck_gather_strided(base + 9, [10, -1], flipped.pointer, 2, [6, 10]) }
      }
      let turned = (0..<60).map { (i: Int) -> Float in x[(i / 10) * 10 + 9 - i % 10] }
      #expect(flipped.values == turned)
      #expect(window.isIntact && flipped.isIntact)
    }
  }

  @Test(arguments: [false, true], [(2, 5, 7), (3, 4, 4), (2, 1, 9)])
  func enlargingAndPooling(_ isBlocked: Bool, _ size: (factor: Int, height: Int, width: Int)) {
    let (factor, height, width) = size
    let lanes = isBlocked ? 16 : 1
    let planes = 3
    let format = isBlocked ? CK_BLOCKED : CK_PLAIN
    var noise = Noise(1)
    let x = noise.array(planes * height * width * lanes)
    func at(_ plane: Int, _ row: Int, _ column: Int, _ lane: Int, _ h: Int, _ w: Int) -> Int {
      ((plane * h + row) * w + column) * lanes + lane
    }
    let (tall, wide) = (height * factor, width * factor)
    var enlarged = [Float](repeating: 0, count: planes * tall * wide * lanes)
    let (shortened, narrowed) = (height / factor, width / factor)
    var pooled = [Double](repeating: 0, count: planes * shortened * narrowed * lanes)
    for plane in 0..<planes {
      for lane in 0..<lanes {
        for row in 0..<tall {
          for column in 0..<wide {
            let small = at(plane, row / factor, column / factor, lane, height, width)
            enlarged[at(plane, row, column, lane, tall, wide)] = x[small]
          }
        }
        for row in 0..<shortened * factor {
          for column in 0..<narrowed * factor {
            let small = at(plane, row / factor, column / factor, lane, shortened, narrowed)
            pooled[small] += Double(x[at(plane, row, column, lane, height, width)]) / Double(factor * factor)
          }
        }
      }
    }
    withThreads(2) {
      let y = Guarded(empty: enlarged.count)
      ck_upsample_nearest(x, y.pointer, planes, height, width, factor, format)
      #expect(y.values == enlarged)
      let small = Guarded(empty: pooled.count)
      ck_average_pool(x, small.pointer, planes, height, width, factor, format)
      #expect(largestError(small.values, pooled) < 1e-6)
      #expect(y.isIntact && small.isIntact)
    }
  }
}
