/// Counter-based random numbers: Philox4x32-10 of Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
///
/// A block of four words is a pure function of a counter and a key, so noise has an *address* instead of a history: any thread, backend
/// or batch computes element j of sample i at step s and finds the same number.
///
/// **The convention**, which the graph's random operator and the C kernels reproduce bit for bit:
///
///     key     = (low, high 32 bits of the seed)
///     counter = (j / 4, sample index, step, stream)        element j of the sample takes lane j % 4 of the block
///     normals: words (w0, w1) → lanes 0, 1 and words (w2, w3) → lanes 2, 3 by Box-Muller
///     uniforms: u = ⌊word / 2⁸⌋·2⁻²⁴ in Float
///     dropout: an element is kept, as 1 / (1 − rate), where u ≥ rate rounded to Float
///
/// Box-Muller uses only IEEE operations that are correctly rounded (+, −, ×, ÷, √), in the order written here and never contracted to
/// fused multiply-adds, so the normals too are the same bits on every machine. A C kernel needs `#pragma STDC FP_CONTRACT OFF`.
public enum Philox4x32 {
  /// The ten-round bijection of `counter` under `key`.
  public static func block(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
    var x = counter
    var k = key
    for round in 0..<10 {
      if round > 0 { k &+= SIMD2(0x9E37_79B9, 0xBB67_AE85) }
      let p0 = UInt64(x[0]) &* 0xD251_1F53
      let p1 = UInt64(x[2]) &* 0xCD9E_8D57
      x = SIMD4(
        UInt32(truncatingIfNeeded: p1 >> 32) ^ x[1] ^ k[0], UInt32(truncatingIfNeeded: p1),
        UInt32(truncatingIfNeeded: p0 >> 32) ^ x[3] ^ k[1], UInt32(truncatingIfNeeded: p0))
    }
    return x
  }

  /// The key of a 64-bit seed: (low word, high word).
  public static func key(seed: UInt64) -> SIMD2<UInt32> {
    SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
  }

  /// Four independent draws from [0, 1), each a multiple of 2⁻²⁴: the high 24 bits of each word.
  public static func uniforms(of block: SIMD4<UInt32>) -> SIMD4<Float> {
    SIMD4<Float>(block &>> 8) * 0x1p-24
  }

  /// Four independent draws from N(0, 1), by Box-Muller on the word pairs (w0, w1) and (w2, w3). |z| ≤ 6.77.
  public static func normals(of block: SIMD4<UInt32>) -> SIMD4<Float> {
    let (z0, z1) = boxMuller(block[0], block[1])
    let (z2, z3) = boxMuller(block[2], block[3])
    return SIMD4(z0, z1, z2, z3)
  }

  /// Fills `noise` with N(0, 1): element j is lane j % 4 of the block at counter (j / 4, `sample`, `step`, `stream`).
  public static func fill(
    normals noise: UnsafeMutableBufferPointer<Float>, seed: UInt64, sample: UInt32, step: UInt32, stream: RandomStream
  ) {
    let key = key(seed: seed)
    var counter = SIMD4(0, sample, step, stream.rawValue)
    var j = 0
    while j < noise.count {
      let z = normals(of: block(counter: counter, key: key))
      for lane in 0..<min(4, noise.count - j) { noise[j + lane] = z[lane] }
      counter[0] &+= 1
      j += 4
    }
  }

  /// Fills `draws` with uniform numbers in [0, 1), addressed as `fill(normals:)`.
  public static func fill(
    uniforms draws: UnsafeMutableBufferPointer<Float>, seed: UInt64, sample: UInt32, step: UInt32, stream: RandomStream
  ) {
    let key = key(seed: seed)
    for j in draws.indices where j % 4 == 0 {
      let u = uniforms(of: block(counter: SIMD4(UInt32(j / 4), sample, step, stream.rawValue), key: key))
      for lane in 0..<min(4, draws.count - j) { draws[j + lane] = u[lane] }
    }
  }

  /// z0 = r cos θ, z1 = r sin θ with r = √(−2 ln u), u = (w + ½)·2⁻³², θ = 2π(v + ½)·2⁻³².
  private static func boxMuller(_ w: UInt32, _ v: UInt32) -> (Float, Float) {
    let radius = (-2 * logarithm((Float(w) + 0.5) * 0x1p-32)).squareRoot()
    let (cosine, sine) = turn(v)
    return (radius * cosine, radius * sine)
  }

  /// ln u for a normal u in (0, 1].
  ///
  /// u = m·2ᵉ with m in [√½, √2), and ln m = 2 artanh s with s = (m − 1)/(m + 1), |s| ≤ 0.172: five terms of
  /// artanh s = s(1 + s²/3 + s⁴/5 + …) leave a relative error of 2e-9.
  private static func logarithm(_ u: Float) -> Float {
    let sqrtHalf: Int32 = 0x3F35_04F3
    let bits = Int32(bitPattern: u.bitPattern)
    let exponent = (bits &- sqrtHalf) &>> 23
    let m = Float(bitPattern: UInt32(bitPattern: bits &- (exponent &<< 23)))
    let s = (m - 1) / (m + 1)
    let s2 = s * s
    var p: Float = 1 / 9
    p = p * s2 + 1 / 7
    p = p * s2 + 1 / 5
    p = p * s2 + 1 / 3
    p = p * s2 + 1
    return Float(exponent) * 0.693_147_180_559_945_3 + 2 * s * p
  }

  /// (cos θ, sin θ) for θ = 2π(v + ½)·2⁻³².
  ///
  /// The word is reduced to the nearest quarter turn in integers, so exactly; what is left is φ in [−π/4, π/4), where the Taylor
  /// polynomials of degree 9 and 10 leave errors below 2e-9.
  private static func turn(_ v: UInt32) -> (Float, Float) {
    let shifted = v &+ 0x2000_0000
    let quarter = shifted >> 30
    let rest = Int32(bitPattern: shifted & 0x3FFF_FFFF) &- 0x2000_0000
    let φ = (Float(rest) + 0.5) * (2 * Float.pi * 0x1p-32)
    let φ2 = φ * φ
    var s: Float = 1 / 362_880
    s = s * φ2 - 1 / 5040
    s = s * φ2 + 1 / 120
    s = s * φ2 - 1 / 6
    s = s * φ2 + 1
    s = s * φ
    var c: Float = -1 / 3_628_800
    c = c * φ2 + 1 / 40_320
    c = c * φ2 - 1 / 720
    c = c * φ2 + 1 / 24
    c = c * φ2 - 1 / 2
    c = c * φ2 + 1
    switch quarter {
    case 0: return (c, s)
    case 1: return (-s, c)
    case 2: return (-c, -s)
    default: return (s, -c)
    }
  }
}

/// What a draw is for: the last word of the counter, so that no two uses of one seed share a number.
public enum RandomStream: UInt32, Sendable, CaseIterable {
  /// x_T at step 0, and the noise of the sampling step that leaves t at step t.
  case sampling = 0
  /// ε of a training step.
  case trainingNoise = 1
  /// t of a training step.
  case trainingTimestep = 2
  /// Dropout masks.
  case dropout = 3
  /// A network's first weights.
  case initialization = 4
  /// Which pixel value is drawn from the discretised decoder.
  case decoder = 5
  /// Which conditions a training step drops.
  case conditionDropout = 6
  /// ε of an evaluation of the variational bound.
  case evaluation = 7
}

extension TensorData {
  /// The input `key` of random operators: the two words of a seed.
  package static func key(seed: UInt64) -> TensorData {
    let words = Philox4x32.key(seed: seed)
    return TensorData([Int32(bitPattern: words[0]), Int32(bitPattern: words[1])], shape: [2])
  }

  /// The input `counters` (N, 2) of random operators: sample and step of each row.
  package static func counters(_ rows: [(sample: Int, step: Int)]) -> TensorData {
    TensorData(
      rows.flatMap { [Int32(truncatingIfNeeded: $0.sample), Int32(truncatingIfNeeded: $0.step)] },
      shape: [rows.count, 2])
  }
}
