import Diffusers
import Diffusion
import Platform
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
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
    /// What the network was told; empty where the levels are too many to list.
    let timesteps: [Double]
    let eta: Double?
    let use_clipped_model_output: Bool?
    /// Whether diffusers' own rule was off, so that it has to be asked for.
    let matches: Bool?
    /// EDM's S_churn, S_tmin, S_tmax and S_noise.
    let churn: [Double]?

    var testDescription: String { name }
  }

  static let shape = Images.Shape(2, 1, 4, 4)

  /// None where the file cannot be read: then there are no cases, and `goldenRunsAreRead` says so.
  static func runs() -> [Run] { (try? golden("runs.json")) ?? [] }

  /// Runs of samplers that no diffusers configuration names.
  static let others = ["inverse-20", "edm-karras", "edm-all"]

  @Test func goldenRunsAreRead() throws {
    let runs: [Run] = try golden("runs.json")
    #expect(runs.count == 106)
    #expect(Set(runs.map(\.name)).count == 106)
    #expect(Set(runs.map(\.name)).isSuperset(of: Self.others))
    #expect(runs.allSatisfy { $0.final.count == Self.shape.scalarCount })
    let classes = Set(runs.compactMap { try? SchedulerConfig(json: $0.config).kind })
    #expect(classes == Set(SchedulerConfig.Kind.allCases))
  }

  /// Builds everything from diffusers' own configuration text and compares the final sample.
  @Test(arguments: runs().filter { !others.contains($0.name) })
  func runMatchesDiffusers(_ run: Run) throws {
    var config = try SchedulerConfig(json: run.config)
    config.matchesDiffusers = run.matches ?? false
    let timesteps = try config.timesteps(run.n)
    if !run.timesteps.isEmpty {
      expect(maximumRelativeError(timesteps.map(\.networkTime), run.timesteps), atMost: 1e-7, "\(run.name), timesteps")
    }
    let process = try config.process()
    let denoiser = standInNetwork(learned: process.variance.isLearned)
    let sampler =
      run.use_clipped_model_output == true
      ? DDIM(eta: run.eta ?? 0, rederivesNoise: true) : try config.sampler(steps: run.n, eta: run.eta ?? 0)
    let x = try sample(sampler, run, timesteps, process, denoiser)
    expect(
      relativeL2(x.scalars.map(Double.init), run.final), atMost: run.n == 1000 ? 1e-3 : 1e-5, "runs.json \(run.name)")
  }

  /// Where diffusers' own rule is off, ours is another.
  @Test(arguments: runs().filter { $0.matches == true })
  func whatIsOffIsNotTheDefault(_ run: Run) throws {
    let config = try SchedulerConfig(json: run.config)
    let process = try config.process()
    let denoiser = standInNetwork(learned: process.variance.isLearned)
    let x = try sample(
      config.sampler(steps: run.n, eta: run.eta ?? 0), run, config.timesteps(run.n), process, denoiser)
    #expect(relativeL2(x.scalars.map(Double.init), run.final) > 2e-5)
  }

  @Test(arguments: runs().filter { others.contains($0.name) })
  func otherRunMatchesDiffusers(_ run: Run) throws {
    let sampler: any Sampler =
      run.churn.map { EDM(churn: $0[0], range: $0[1]...$0[2], inflation: $0[3]) } ?? DDIMInversion()
    let config = try run.churn.map { _ in try SchedulerConfig(json: run.config) }
    let process = try config?.process() ?? ReverseProcess(schedule: NoiseSchedule(), limit: .none)
    let timesteps = try config?.timesteps(run.n) ?? TimestepSpacing.leading.timesteps(run.n, of: 1000)
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
