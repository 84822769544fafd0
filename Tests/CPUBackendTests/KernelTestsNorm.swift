import CKernels
import Platform
import Testing

/// Every test of a kernel: one after the other, since the size of the pool is global.
@Suite(.serialized) struct KernelTests {}

struct NormCase: CustomTestStringConvertible, Sendable {
  var samples = 2, channels = 32, pixels = 49, groups = 4
  var silu = true, shift = true, add = true, blocked = true
  var offset: Float = 0
  var threads: Int32 = 2

  var testDescription: String {
    "N\(samples) C\(channels) P\(pixels) G\(groups)\(silu ? " silu" : "")\(shift ? " shift" : "")\(blocked ? " blocked" : " plain") offset \(offset) threads \(threads)"
  }

  static let table: [NormCase] = [false, true].flatMap { isBlocked in
    [
      NormCase(blocked: isBlocked),
      NormCase(silu: false, shift: false, add: false, blocked: isBlocked),
      NormCase(samples: 3, channels: 96, pixels: 25, groups: 4, blocked: isBlocked),  // 24 channels a group
      NormCase(samples: 1, channels: 48, pixels: 64, groups: 1, blocked: isBlocked),  // one unit: stages are shared
      NormCase(samples: 1, channels: 48, pixels: 300, groups: 1, blocked: isBlocked, threads: 3),
      NormCase(samples: 2, channels: 24, pixels: 9, groups: 24, blocked: isBlocked),
      NormCase(samples: 2, channels: 10, pixels: 1, groups: 2, blocked: isBlocked),
      NormCase(samples: 3, channels: 3, pixels: 7, groups: 3, blocked: isBlocked, threads: 1),
      NormCase(samples: 5, channels: 40, pixels: 17, groups: 8, shift: false, blocked: isBlocked, threads: 4),
      NormCase(
        samples: 1, channels: 32, pixels: 4096, groups: 32, silu: false, shift: false, blocked: isBlocked, offset: 1000),
      NormCase(samples: 2, channels: 32, pixels: 130, groups: 8, silu: false, blocked: isBlocked, offset: 1000),
    ]
  }
}

/// Group normalization in Double on [N][C][P].
private struct NormReference {
  var y: [Double], mean: [Double], rstd: [Double]
  var dx: [Double], dgamma: [Double], dbeta: [Double], dshift: [Double]

  init(
    _ k: NormCase, x: [Float], shift: [Float], gamma: [Float], beta: [Float], dy: [Float], add: [Float], epsilon: Double
  ) {
    let (samples, channels, pixels, groups) = (k.samples, k.channels, k.pixels, k.groups)
    let perGroup = channels / groups
    y = .init(repeating: 0, count: x.count)
    dx = y
    mean = .init(repeating: 0, count: samples * groups)
    rstd = mean
    dgamma = .init(repeating: 0, count: channels)
    dbeta = dgamma
    dshift = .init(repeating: 0, count: samples * channels)
    for n in 0..<samples {
      for g in 0..<groups {
        let members = (g * perGroup..<(g + 1) * perGroup).flatMap { c in
          (0..<pixels).map { p in (c: c, at: (n * channels + c) * pixels + p) }
        }
        let values = members.map { Double(x[$0.at]) + (k.shift ? Double(shift[n * channels + $0.c]) : 0) }
        let size = Double(values.count)
        let m = values.reduce(0, +) / size
        let variance = values.map { ($0 - m) * ($0 - m) }.reduce(0, +) / size
        let r = 1 / (variance + epsilon).squareRoot()
        mean[n * groups + g] = m
        rstd[n * groups + g] = r
        var gradients: [Double] = []
        for ((c, at), value) in zip(members, values) {
          let u = (value - m) * r * Double(gamma[c]) + Double(beta[c])
          let s = 1 / (1 + exp(-u))
          y[at] = k.silu ? u * s : u
          let du = Double(dy[at]) * (k.silu ? s * (1 + u * (1 - s)) : 1)
          dgamma[c] += du * (value - m) * r
          dbeta[c] += du
          gradients.append(du * Double(gamma[c]))
        }
        let a = gradients.reduce(0, +) / size
        let b = zip(gradients, values).map { $0 * ($1 - m) * r }.reduce(0, +) / size
        for (((c, at), value), gradient) in zip(zip(members, values), gradients) {
          let d = r * (gradient - a - (value - m) * r * b)
          dshift[n * channels + c] += d
          dx[at] = d + (k.add ? Double(add[at]) : 0)
        }
      }
    }
  }
}

extension KernelTests {
  @Test(arguments: NormCase.table) func groupNorm(_ k: NormCase) {
    var noise = Noise(7)
    let count = k.samples * k.channels * k.pixels
    let x = noise.array(count, scale: 1.7, offset: k.offset)
    let shift = noise.array(k.samples * k.channels)
    let gamma = noise.array(k.channels, offset: 1)
    let beta = noise.array(k.channels)
    let dy = noise.array(count)
    let add = noise.array(count)
    let expected = NormReference(k, x: x, shift: shift, gamma: gamma, beta: beta, dy: dy, add: add, epsilon: 1e-5)

    func laid<T: Numeric>(_ values: [T]) -> [T] {
      k.blocked ? blocked(values, samples: k.samples, channels: k.channels, pixels: k.pixels) : values
    }
    var norm = ck_group_norm(
      samples: k.samples, channels: k.channels, pixels: k.pixels, groups: k.groups, epsilon: 1e-5,
      activation: k.silu ? CK_ACTIVATION_SILU : CK_ACTIVATION_NONE, format: k.blocked ? CK_BLOCKED : CK_PLAIN)
    withThreads(k.threads) {
      let workspace = Guarded(empty: ck_group_norm_workspace(&norm))
      let y = Guarded(empty: laid(x).count)
      let mean = Guarded(empty: k.samples * k.groups)
      let rstd = Guarded(empty: k.samples * k.groups)
      ck_group_norm_forward(
        &norm, laid(x), k.shift ? shift : nil, gamma, beta, y.pointer, mean.pointer, rstd.pointer, workspace.pointer)
      #expect(largestError(y.values, laid(expected.y)) < 1e-5)
      #expect(relativeError(mean.values, expected.mean) < 1e-6)
      #expect(relativeError(rstd.values, expected.rstd) < 1e-6)

      let dx = Guarded(laid(dy))
      let dgamma = Guarded(empty: k.channels)
      let dbeta = Guarded(empty: k.channels)
      let dshift = Guarded(empty: k.samples * k.channels)
      ck_group_norm_backward(
        &norm, laid(x), k.shift ? shift : nil, gamma, beta, mean.pointer, rstd.pointer, dx.pointer,
        k.add ? laid(add) : nil,
        dx.pointer, dgamma.pointer, dbeta.pointer, dshift.pointer, workspace.pointer)
      // The saved mean is FP32: at an offset of 1000 it is known to 3e-5.
      let tolerance = k.offset == 0 ? 2e-5 : 3e-4
      #expect(largestError(dx.values, laid(expected.dx)) < tolerance)
      #expect(relativeError(dgamma.values, expected.dgamma) < tolerance)
      #expect(relativeError(dbeta.values, expected.dbeta) < tolerance)
      let scale = expected.rstd.max() ?? 1
      #expect(largestError(dshift.values, expected.dshift) < tolerance * scale * Double(k.pixels).squareRoot() * 2)
      for buffer in [workspace, y, mean, rstd, dx, dgamma, dbeta, dshift] { #expect(buffer.isIntact) }

      // In two parts, cut at a block that may lie inside a group.
      guard k.blocked, k.channels % 16 == 0, k.channels > 16 else { return }
      let cut = k.channels / 32 * 16
      let parts = split(laid(x), samples: k.samples, at: cut * k.pixels).map { Guarded($0) }
      let again = Guarded(empty: y.count)
      ck_group_norm_forward_of_parts(
        &norm, ck_parts(x: parts[0].pointer, rest: parts[1].pointer, first: cut), k.shift ? shift : nil, gamma, beta,
        again.pointer, mean.pointer, rstd.pointer, workspace.pointer)
      #expect(again.values == y.values)
      for buffer in parts + [again] { #expect(buffer.isIntact) }
    }
  }

  /// The first pixels far from the rest must not spoil the variance (a shift by the first pixel alone would).
  @Test func groupNormSurvivesAnOutlier() {
    var noise = Noise(3)
    let pixels = 1000
    var x = noise.array(16 * pixels, offset: 3000)
    for c in 0..<16 { x[c * pixels] = 0 }
    let k = NormCase(samples: 1, channels: 16, pixels: pixels, groups: 16, silu: false, shift: false, add: false)
    let zero = [Float](repeating: 0, count: 16)
    let one = [Float](repeating: 1, count: 16)
    let expected = NormReference(k, x: x, shift: [], gamma: one, beta: zero, dy: x, add: [], epsilon: 1e-5)
    var norm = ck_group_norm(
      samples: 1, channels: 16, pixels: pixels, groups: 16, epsilon: 1e-5, activation: CK_ACTIVATION_NONE,
      format: CK_BLOCKED)
    let workspace = Guarded(empty: ck_group_norm_workspace(&norm))
    let y = Guarded(empty: x.count)
    let mean = Guarded(empty: 16)
    let rstd = Guarded(empty: 16)
    ck_group_norm_forward(
      &norm, blocked(x, samples: 1, channels: 16, pixels: pixels), nil, one, zero, y.pointer, mean.pointer,
      rstd.pointer,
      workspace.pointer)
    #expect(largestError(y.values, blocked(expected.y, samples: 1, channels: 16, pixels: pixels)) < 1e-5)
    #expect(relativeError(rstd.values, expected.rstd) < 1e-6)
  }

  @Test func groupNormPassesNaNOn() {
    var x = [Float](repeating: 0, count: 32 * 9)
    for i in x.indices { x[i] = Float(i % 7) }
    x[5] = .nan
    var norm = ck_group_norm(
      samples: 1, channels: 32, pixels: 9, groups: 2, epsilon: 1e-5, activation: CK_ACTIVATION_SILU, format: CK_PLAIN)
    let workspace = Guarded(empty: ck_group_norm_workspace(&norm))
    let y = Guarded(empty: x.count)
    let mean = Guarded(empty: 2)
    let rstd = Guarded(empty: 2)
    let one = [Float](repeating: 1, count: 32)
    ck_group_norm_forward(&norm, x, nil, one, one, y.pointer, mean.pointer, rstd.pointer, workspace.pointer)
    let isNaN = y.values.map(\.isNaN)
    #expect(isNaN == [Bool](repeating: true, count: 16 * 9) + [Bool](repeating: false, count: 16 * 9))
  }
}
