import TensorGraph

/// `Philox4x32`, operation by operation, with its bits.
extension Lowering {
  func gaussianNoise(counters: HLOValue, key: HLOValue, sample: Shape, stream: UInt32) -> HLOValue {
    let words = philox(counters, key, blocks: (sample.count + 3) / 4, stream: stream)
    let (z0, z1) = boxMuller(words[0], words[1])
    let (z2, z3) = boxMuller(words[2], words[3])
    return lanes([z0, z1, z2, z3], sample)
  }

  /// 0 where u = ⌊word / 2⁸⌋·2⁻²⁴ lies below the rate, else 1 / (1 − rate).
  func dropoutMask(counters: HLOValue, key: HLOValue, sample: Shape, rate: Double, stream: UInt32) -> HLOValue {
    let words = philox(counters, key, blocks: (sample.count + 3) / 4, stream: stream)
    return lanes(
      words.map { word in
        let u = shifted(word, right: 8).converted(to: .f32) * 0x1p-24
        return u.is(.greaterOrEqual, Double(Float(rate))).choose(u.filled(1 / (1 - rate)), u.filled(0))
      }, sample)
  }

  /// The words of Philox4x32-10 at counter (block, sample, step, stream), each (N, blocks).
  private func philox(_ counters: HLOValue, _ key: HLOValue, blocks: Int, stream: UInt32) -> [HLOValue] {
    let shape = [counters.shape[0], blocks]
    let (words, keys) = (counters.bits(as: .ui32), key.bits(as: .ui32))
    func column(_ i: Int) -> HLOValue { words.sliced(axis: 1, i..<i + 1).broadcast(shape, axes: [0, 1]) }
    var x = [
      writer.iota(shape, axis: 1, .ui32), column(0), column(1), writer.splat(Double(stream), shape, .ui32),
    ]
    var k = [keys[0], keys[1]]
    for round in 0..<10 {
      if round > 0 { k = [k[0] + Double(0x9E37_79B9), k[1] + Double(0xBB67_AE85)] }
      let (p0, p1) = (product(x[0], 0xD251_1F53), product(x[2], 0xCD9E_8D57))
      let rows = k.map { $0.broadcast(shape, axes: []) }
      x = [p1.high ^ x[1] ^ rows[0], p1.low, p0.high ^ x[3] ^ rows[1], p0.low]
    }
    return x
  }

  private func product(_ a: HLOValue, _ factor: UInt32) -> (high: HLOValue, low: HLOValue) {
    let full = a.converted(to: .ui64) * Double(factor)
    return (shifted(full, right: 32).converted(to: .ui32), a * Double(factor))
  }

  private func shifted(_ x: HLOValue, right bits: Int) -> HLOValue {
    x.apply("shift_right_logical", x.filled(Double(bits)))
  }

  /// Four lanes (N, blocks) → (N, …sample).
  private func lanes(_ lanes: [HLOValue], _ sample: Shape) -> HLOValue {
    let (n, blocks) = (lanes[0].shape[0], lanes[0].shape[1])
    let all = writer.concatenate(lanes.map { $0.reshaped([n, blocks, 1]) }, axis: 2).reshaped([n, 4 * blocks])
    let cut = sample.count == 4 * blocks ? all : all.sliced(axis: 1, 0..<sample.count)
    return cut.reshaped([n] + sample.dimensions)
  }

  /// z0 = r cos θ, z1 = r sin θ with r = √(−2 ln u), u = (w + ½)·2⁻³², θ = 2π(v + ½)·2⁻³².
  private func boxMuller(_ w: HLOValue, _ v: HLOValue) -> (HLOValue, HLOValue) {
    let radius = (logarithm((w.converted(to: .f32) + 0.5) * 0x1p-32) * -2).squareRoot()
    let (cosine, sine) = turn(v)
    return (radius * cosine, radius * sine)
  }

  /// ln u = e ln 2 + 2 artanh s with u = m·2ᵉ, s = (m − 1)/(m + 1).
  private func logarithm(_ u: HLOValue) -> HLOValue {
    let bits = u.bits(as: .i32)
    let exponent = (bits - Double(0x3F35_04F3)).apply("shift_right_arithmetic", bits.filled(23))
    let m = (bits - exponent.apply("shift_left", bits.filled(23))).bits(as: .f32)
    let s = (m - 1) / (m + 1)
    let p = exactPolynomial(s * s, [1 / 9, 1 / 7, 1 / 5, 1 / 3, 1])
    return rounded(exponent.converted(to: .f32) * Double(Float(0.693_147_180_559_945_3))) + rounded(s * 2 * p)
  }

  /// (cos θ, sin θ) for θ = 2π(v + ½)·2⁻³²: the nearest quarter turn off, polynomials for the rest φ.
  private func turn(_ v: HLOValue) -> (cosine: HLOValue, sine: HLOValue) {
    let moved = v + Double(0x2000_0000)
    let rest = (moved & v.filled(Double(0x3FFF_FFFF))).bits(as: .i32) - Double(0x2000_0000)
    let φ = (rest.converted(to: .f32) + 0.5) * Double(2 * Float.pi * 0x1p-32)
    let s = exactPolynomial(φ * φ, [1 / 362_880, -1 / 5040, 1 / 120, -1 / 6, 1]) * φ
    let c = exactPolynomial(φ * φ, [-1 / 3_628_800, 1 / 40_320, -1 / 720, 1 / 24, -1 / 2, 1])
    let quarter = shifted(moved, right: 30)
    let isQuarter = (0..<3).map { quarter.is(.equal, Double($0)) }
    func choose(_ of: [HLOValue]) -> HLOValue {
      isQuarter[0].choose(of[0], isQuarter[1].choose(of[1], isQuarter[2].choose(of[2], of[3])))
    }
    return (choose([c, -s, -c, s]), choose([s, c, -s, -c]))
  }

  // MARK: Rounding each operation

  static let zeroName = "%zero"

  /// A product that is rounded before anything is added to it, as Philox's convention has it.
  ///
  /// XLA fuses a·b + c into one rounding, which no attribute and no barrier prevents. So the product's bits pass through an exclusive or
  /// with a zero that is an argument of the program: the compiler cannot know that nothing changes.
  private func rounded(_ product: HLOValue) -> HLOValue {
    takesZero = true
    let zero = HLOValue(writer: writer, name: Self.zeroName, type: HLOType([], .i32))
    return (product.bits(as: .i32) ^ zero.broadcast(product.shape, axes: [])).bits(as: .f32)
  }

  /// Horner's rule in Float with each product and each sum rounded.
  private func exactPolynomial(_ x: HLOValue, _ coefficients: [Float]) -> HLOValue {
    coefficients.dropFirst().reduce(x.filled(Double(coefficients[0]))) { rounded($0 * x) + Double($1) }
  }
}
