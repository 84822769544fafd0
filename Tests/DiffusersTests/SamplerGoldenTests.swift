import Diffusers
import Diffusion
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#endif

/// Whole runs of diffusers' schedulers with a smooth function in the network's place.
@Suite struct SamplerGoldenTests {
  struct Run: Decodable, CustomTestStringConvertible {
    let name: String
    let config: String
    let n: Int
    let initial: [Float]
    let noise: [[Float]]
    let final: [Double]
    let timesteps: [Int]
    let eta: Double?
    let use_clipped_model_output: Bool?

    var testDescription: String { name }
  }

  static let shape = Images.Shape(2, 1, 4, 4)

  /// None where the file cannot be read: then there are no cases, and `goldenRunsAreRead` says so.
  static func runs() -> [Run] { (try? golden("runs.json")) ?? [] }

  /// Runs of samplers that no diffusers configuration names.
  static let others = ["inverse-20", "heun-10", "euler-10"]

  @Test func goldenRunsAreRead() throws {
    let runs: [Run] = try golden("runs.json")
    #expect(runs.count == 28)
    #expect(Set(runs.map(\.name)).count == 28)
    #expect(Set(runs.map(\.name)).isSuperset(of: Self.others))
    #expect(runs.allSatisfy { $0.final.count == Self.shape.scalarCount && $0.timesteps.count > 1 })
  }

  /// Builds everything from diffusers' own configuration text and compares the final sample.
  @Test(arguments: runs().filter { !others.contains($0.name) })
  func runMatchesDiffusers(_ run: Run) throws {
    let config = try SchedulerConfig(json: run.config)
    let timesteps = try config.timesteps(run.n)
    #expect(timesteps.map(\.zeroBased) == run.timesteps)
    let process = try config.process()
    let denoiser = standInNetwork(learned: process.variance.isLearned)
    let sampler: any Sampler =
      run.use_clipped_model_output == true
      ? DDIM(η: run.eta ?? 0, rederivesNoise: true) : config.sampler(η: run.eta ?? 0)
    let x = try sample(sampler, run, timesteps, process, denoiser)
    expect(relativeL2(x.scalars.map(Double.init), run.final), atMost: 1e-5, "runs.json \(run.name)")
  }

  @Test(arguments: runs().filter { others.contains($0.name) })
  func otherRunMatchesDiffusers(_ run: Run) throws {
    let (sampler, spacing): (any Sampler, TimestepSpacing) =
      switch run.name {
      case "inverse-20": (DDIMInversion(), .leading)
      case "heun-10": (Heun(), .linspace)
      default: (Euler(), .linspace)
      }
    let process = try ReverseProcess(schedule: NoiseSchedule(), limit: .none)
    let timesteps = try spacing.timesteps(run.n, of: 1000)
    let x = try sample(sampler, run, timesteps, process, standInNetwork(learned: false))
    expect(relativeL2(x.scalars.map(Double.init), run.final), atMost: 1e-5, "runs.json \(run.name)")
  }

  private func sample(
    _ sampler: some Sampler, _ run: Run, _ timesteps: [Timestep], _ process: ReverseProcess, _ denoiser: some Denoiser
  ) throws -> Images {
    let initial = Images(shape: Self.shape, scalars: run.initial)
    var noise = RecordedNoise(initial: initial, steps: run.noise.map { Images(shape: Self.shape, scalars: $0) })
    return try sampler.sample(
      shape: Self.shape, timesteps: timesteps, process: process, denoiser: denoiser, noise: &noise)
  }
}
