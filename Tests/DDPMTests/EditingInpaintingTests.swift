import DDPM
import Diffusion
import TestSupport
import Testing

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
