import Platform
import TensorGraph
import Testing

@Suite struct PhiloxTests {
  /// The known-answer vectors that Random123 publishes for philox4x32-10.
  static let knownAnswers: [(counter: SIMD4<UInt32>, key: SIMD2<UInt32>, block: SIMD4<UInt32>)] = [
    (SIMD4(0, 0, 0, 0), SIMD2(0, 0), SIMD4(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8)),
    (
      SIMD4(repeating: .max), SIMD2(repeating: .max),
      SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd)
    ),
    (
      SIMD4(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344), SIMD2(0xa409_3822, 0x299f_31d0),
      SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1)
    ),
  ]

  @Test(arguments: knownAnswers.indices) func knownAnswer(_ i: Int) {
    let known = Self.knownAnswers[i]
    #expect(Philox4x32.block(counter: known.counter, key: known.key) == known.block)
  }

  /// Box-Muller from the basic operations against the C library in Double.
  @Test func boxMullerMatchesDouble() {
    var worst = 0.0
    let corners: [UInt32] = [0, 1, 0x1FFF_FFFF, 0x2000_0000, 0x3FFF_FFFF, 0x4000_0000, 0x8000_0000, .max - 1, .max]
    var blocks = (0..<20_000).map { Philox4x32.block(counter: SIMD4(UInt32($0), 0, 0, 0), key: SIMD2(7, 9)) }
    for a in corners { for b in corners { blocks.append(SIMD4(a, b, b, a)) } }
    for block in blocks {
      let z = Philox4x32.normals(of: block)
      for pair in 0..<2 {
        // The radius is a function of the Float that the word rounds to.
        let u = Double((Float(block[2 * pair]) + 0.5) * 0x1p-32)
        let θ = 2 * Double.pi * (Double(block[2 * pair + 1]) + 0.5) * 0x1p-32
        let r = (-2 * log(u)).squareRoot()
        worst = max(worst, abs(Double(z[2 * pair]) - r * cos(θ)), abs(Double(z[2 * pair + 1]) - r * sin(θ)))
      }
    }
    #expect(worst < 2e-6)
  }

  /// Mean, variance, skewness and kurtosis of a million draws, each within five standard errors.
  @Test func momentsAreNormal() {
    let n = 1 << 20
    let noise = [Float](unsafeUninitializedCapacity: n) { buffer, count in
      Philox4x32.fill(normals: .init(rebasing: buffer[..<n]), seed: 3, sample: 5, step: 1, stream: .sampling)
      count = n
    }
    var moments = [0.0, 0.0, 0.0, 0.0]
    for z in noise {
      var power = 1.0
      for k in 0..<4 {
        power *= Double(z)
        moments[k] += power / Double(n)
      }
    }
    let rootN = Double(n).squareRoot()
    #expect(abs(moments[0]) < 5 * 1 / rootN)
    #expect(abs(moments[1] - 1) < 5 * 2.0.squareRoot() / rootN)
    #expect(abs(moments[2]) < 5 * 15.0.squareRoot() / rootN)
    #expect(abs(moments[3] - 3) < 5 * 96.0.squareRoot() / rootN)
  }

  /// Element j is lane j % 4 of block j / 4, whatever the length asked for.
  @Test(arguments: [1, 2, 3, 4, 5, 7, 16]) func fillFollowsTheConvention(_ count: Int) {
    var noise = [Float](repeating: 0, count: count)
    noise.withUnsafeMutableBufferPointer {
      Philox4x32.fill(normals: $0, seed: 0x1234_5678_9abc_def0, sample: 11, step: 22, stream: .dropout)
    }
    for j in 0..<count {
      let counter = SIMD4<UInt32>(UInt32(j / 4), 11, 22, 3)
      let block = Philox4x32.block(counter: counter, key: SIMD2(0x9abc_def0, 0x1234_5678))
      #expect(noise[j] == Philox4x32.normals(of: block)[j % 4])
    }
    noise.withUnsafeMutableBufferPointer {
      Philox4x32.fill(uniforms: $0, seed: 0x1234_5678_9abc_def0, sample: 11, step: 22, stream: .dropout)
    }
    for j in 0..<count {
      let counter = SIMD4<UInt32>(UInt32(j / 4), 11, 22, 3)
      let block = Philox4x32.block(counter: counter, key: SIMD2(0x9abc_def0, 0x1234_5678))
      #expect(noise[j] == Philox4x32.uniforms(of: block)[j % 4])
    }
  }

  @Test func uniformsLieInTheHalfOpenUnitInterval() {
    #expect(Philox4x32.uniforms(of: SIMD4(0, 255, 256, .max)) == SIMD4(0, 0, 0x1p-24, 1 - 0x1p-24))
  }
}
