import CPUBackend
import DDPM
import Diffusion
import Networks
import Pictures
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Painting what is hidden.
@Suite struct EditingInpaintingTests {
  private let process: ReverseProcess
  private let shape = Images.Shape(1, 1, 4, 4)
  /// The left half is known.
  private let isHidden = (0..<16).map { $0 % 4 >= 2 }

  init() throws {
    process = try ReverseProcess(
      schedule: NoiseSchedule(T: 100, rescaled: true), variance: .fixedSmall, limit: .none)
  }

  private var known: Images { Images(shape: shape, scalars: (0..<16).map { Float($0) / 127.5 - 1 }) }

  @Test(arguments: [nil, .init(repeats: 3, length: 4)] as [Inpainting<DDIM>.Jumps?], [0.0, 1])
  func knownPixelsAreKept(_ jumps: Inpainting<DDIM>.Jumps?, η: Double) throws {
    let editing = try Editing(
      process, denoiser: SimpleDenoiser(schedule: process.schedule), steps: 20, eta: η, seed: 4)
    var steps: [Int] = []
    let painted = try editing.inpainted(known, isHidden: isHidden, jumps: jumps, count: 3) { done, total in
      steps.append(done)
      #expect(total == (jumps == nil ? 20 : 20 + 4 * 2 * 5))
    }
    #expect(steps == Array(1...steps.count))
    for n in 0..<3 {
      let one = painted[sample: n]
      for i in 0..<16 where !isHidden[i] { #expect(one.scalars[i] == known.scalars[i]) }
    }
    // Other samples, other paint; and a sample is itself, whatever else is drawn.
    #expect(painted[sample: 0] != painted[sample: 1])
    #expect(try editing.inpainted(known, isHidden: isHidden, jumps: jumps) == painted[sample: 0])
  }

  /// At each level what is known is noised as much as the level says.
  @Test func knownPixelsFollowTheLevels() throws {
    let zero = Images(repeating: 0, shape: .init(4000, 1, 1, 1))
    let sampler = Inpainting(DDIM(), known: zero[sample: 0], isHidden: [false])
    var noise = CounterNoise(seed: 1)
    _ = try sampler.sample(
      shape: zero.shape, timesteps: [100, 60, 20], process: process,
      denoiser: SimpleDenoiser(schedule: process.schedule), noise: &noise
    ) { step in
      let variance = step.x.scalars.reduce(0.0) { $0 + Double($1) * Double($1) } / 4000
      let wanted = 1 - process.schedule.ᾱ[step.transition.to]
      #expect(abs(variance - wanted) <= 0.1 * wanted, "at \(step.transition.to)")
    }
  }

  /// RePaint's schedule (Lugmayr et al. 2022, figure 9): down, and up again by j at every j-th level.
  @Test func jumpsGoUpAndDownAgain() {
    let sampler = Inpainting(
      DDIM(), known: known, isHidden: isHidden, jumps: .init(repeats: 2, length: 2))
    let visited = sampler.transitions([50, 40, 30, 20, 10])
    #expect(visited.first?.from == 50)
    #expect(visited.map(\.to.number) == [40, 30, 50, 40, 30, 20, 10, 30, 20, 10, 0])
    for (step, next) in zip(visited, visited.dropFirst()) { #expect(step.to == next.from) }
    let once = Inpainting(DDIM(), known: known, isHidden: isHidden, jumps: .init(repeats: 1, length: 2))
    #expect(once.transitions([50, 40, 30]) == DDIM().transitions([50, 40, 30]))
  }

  /// Two pixels that are all but equal: painting one where the other is known gives its value, and repeated steps bring it nearer.
  @Test func repetitionMakesPaintFit() throws {
    let schedule = process.schedule
    // x = (u + v, u − v): u ~ N(0, 0.5), v ~ N(0, 0.005)
    let pair = DenoiserFunction { xt, t in
      Images(
        joining: t.indices.map { n in
          let (a, b) = (Double(xt.scalars[2 * n]), Double(xt.scalars[2 * n + 1]))
          let ᾱ = schedule.ᾱ[t[n]]
          func ε(_ x: Double, _ s²: Double) -> Double { (1 - ᾱ).squareRoot() * x / (ᾱ * s² + 1 - ᾱ) }
          let (u, v) = (ε((a + b) / 2, 2 * 0.5), ε((a - b) / 2, 2 * 0.005))
          return Images(shape: .init(1, 1, 1, 2), scalars: [Float(u + v), Float(u - v)])
        })
    }
    let editing = try Editing(process, denoiser: pair, steps: 50, eta: 1)
    func error(_ jumps: Inpainting<DDIM>.Jumps?) throws -> Double {
      let painted = try editing.inpainted(
        Images(shape: .init(1, 1, 1, 2), scalars: [0.8, 0]), isHidden: [false, true], jumps: jumps, count: 200)
      return (0..<200).reduce(0) { $0 + abs(Double(painted.scalars[2 * $1 + 1]) - 0.8) / 200 }
    }
    let (plain, repeated) = (try error(nil), try error(.init(repeats: 10, length: 10)))
    #expect(repeated < 0.8 * plain, "\(repeated) with jumps, \(plain) without")
    #expect(repeated < 0.3)
  }
}

/// Pictures and masks that a model can edit, and what is said of others.
@Suite struct EditingPicturesTests {
  private let folder: EvaluationFolder
  private let model: Model

  init() throws {
    folder = try EvaluationFolder()
    model = try Model(folder.model(), on: CPUBackend(.init(threads: 1)))
  }

  private func file(_ picture: Image8) throws -> URL {
    let url = folder.url.appending(path: "picture.png")
    try picture.writePNG(to: url)
    return url
  }

  @Test func sizesThatDoNotFitAreNamed() throws {
    let url = try file(Image8(width: 20, height: 10, channels: 3, fill: 40))
    let found = SampleSize(height: 10, width: 20)
    #expect(throws: EditError.size(url.path, found: found, wanted: .init(height: 16, width: 16))) {
      try model.editPicture(url)
    }
    #expect(throws: EditError.size(url.path, found: found, wanted: .init(height: 4, width: 4))) {
      try model.editPicture(url, scale: 4)
    }
    #expect(throws: EditError.scale(3, of: .init(height: 16, width: 16))) { try model.editPicture(url, scale: 3) }
    #expect(EditError.scale(3, of: .init(height: 16, width: 16)).description.hasSuffix("2, 4, 8, 16"))
    let fitted = try model.editPicture(url, scale: 2, fits: true)
    #expect(fitted == Image8(width: 8, height: 8, channels: 1, fill: 40))
    let right = Image8(width: 16, height: 16, channels: 1, bytes: (0..<256).map { UInt8($0) })
    #expect(try model.editPicture(file(right)) == right)
  }

  @Test func masksHideWhatIsWhite() throws {
    let picture = Image8(width: 16, height: 16, channels: 3)
    var mask = Image8(width: 16, height: 16, channels: 1)
    for fill in [0, 255] as [UInt8] {
      let url = try file(Image8(width: 16, height: 16, channels: 1, fill: fill))
      #expect(throws: EditError.mask(url.path, hidden: fill == 0 ? 0 : 256, of: 256)) {
        try model.mask(url, for: picture)
      }
    }
    mask[3, 1, 0] = 200
    let hidden = try model.mask(file(mask), for: picture)
    #expect(hidden.count == 3 * 256)
    #expect(hidden.indices.filter { hidden[$0] } == [19, 256 + 19, 512 + 19])
    let small = try file(Image8(width: 8, height: 8, channels: 1))
    #expect(
      throws: EditError.maskSize(small.path, found: .init(height: 8, width: 8), wanted: .init(height: 16, width: 16))
    ) { try model.mask(small, for: picture) }
  }

  /// What is transparent lies over white, and so is painted, whatever colour lies beneath it: here black, as a hole that was
  /// erased in a drawing program has it.
  @Test func masksHideWhatIsTransparent() throws {
    // 16×16 RGBA, black: α is 0 at (3, 1), 100 at (4, 1), 200 at (5, 1) and 255 elsewhere.
    let erased = """
      iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAYAAAAf8/9hAAAAI0lEQVR42mNgYGD4TyFG5QBBChCfINcAil0wasCoAaMGkIkB0Zj9
      MKLrKscAAAAASUVORK5CYII=
      """
    let url = folder.url.appending(path: "erased.png")
    try #require(Data(base64Encoded: String(erased.filter { !$0.isWhitespace }))).write(to: url)
    let hidden = try model.mask(url, for: Image8(width: 16, height: 16, channels: 1))
    #expect(hidden.indices.filter { hidden[$0] } == [19, 20])
    let picture = try model.editPicture(url)
    #expect((2..<7).map { picture[$0, 1, 0] } == [0, 255, 155, 55, 0])
  }

  /// 10 log₁₀(255²/MSE).
  @Test func ratiosAreInDecibels() {
    let a = Image8(width: 2, height: 1, channels: 1, bytes: [10, 20])
    let b = Image8(width: 2, height: 1, channels: 1, bytes: [13, 20])
    #expect(abs(a.psnr(to: b) - 41.598678) < 1e-5)
    #expect(a.psnr(to: a) == .infinity)
  }
}
