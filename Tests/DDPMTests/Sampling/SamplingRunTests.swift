import CPUBackend
import DDPM
import Diffusers
import Diffusion
import Files
import Pictures
import Platform
import TensorGraph
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Options and models of drawing, on a small network.
@Suite struct SamplingRunTests {
  private let backend = CPUBackend(CPUBackend.Options(threads: 1))

  /// Two samples in one batch.
  private func request(
    _ model: Model, _ method: SamplerChoice = .ddpm, steps: Int? = nil, variance: ReverseVariance? = nil
  ) throws -> SamplingRequest {
    var request = SamplingRequest(count: 2)
    request.batchSize = 2
    request.plan = try model.plan(method, steps: steps, variance: variance)
    return request
  }

  /// The levels that are visited when the user does not say: the model's choice, or the sampler's own default.
  @Test(
    arguments: [
      (.ddpm, nil, [16, 11, 6, 1]), (.ddim, nil, [16, 11, 6, 1]), (.heun, nil, [20, 14, 7, 1]),
      (.euler, nil, [20, 14, 7, 1]), (.dpmSolver, nil, [20, 15, 11, 6]), (.ddpm, "trailing", [20, 15, 10, 5]),
      (.ddim, "trailing", [20, 15, 10, 5]), (.heun, "trailing", [20, 15, 10, 5]),
      (.dpmSolver, "trailing", [20, 15, 10, 5]), (.ddim, "linspace", [20, 14, 7, 1]),
    ] as [(SamplerChoice, String?, [Int])])
  func spacingIsTheModels(_ method: SamplerChoice, _ spacing: String?, _ levels: [Int]) throws {
    let folder = try EvaluationFolder()
    let model = try Model(
      folder.model(scheduler: spacing.map { ["timestep_spacing": .string($0)] } ?? [:]), on: backend)
    let sequence = try model.sample(request(model, method, steps: 4))
    #expect(sequence.plan.timesteps.map(\.number) == levels)
  }

  /// σ in place of t: between the schedule's own ends, for the samplers that have a σ.
  @Test(arguments: SamplerChoice.allCases, SigmaSpacing.allCases)
  func sigmasAreSpacedWhereTheyCanBe(_ method: SamplerChoice, _ sigmas: SigmaSpacing) throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(), on: backend)
    guard ![.ddpm, .ddim, .pndm, .plms, .eulerAncestral].contains(method) else {
      #expect(throws: SamplingError.sigmasWithout(method)) { try model.plan(method, steps: 6, sigmas: sigmas) }
      return
    }
    let plan = try model.plan(method, steps: 6, sigmas: sigmas)
    let schedule = plan.process.schedule
    let wanted = sigmas.sigmas(6, from: schedule.level(20).σ̄, to: schedule.level(1).σ̄)
    #expect(plan.timesteps.count == 6)
    for (t, σ̄) in zip(plan.timesteps, wanted) { #expect(abs(schedule.level(t).σ̄ / σ̄ - 1) < 1e-12, "\(t)") }
    // The solvers in λ tell the network whole timesteps.
    if ![.lms, .heun, .euler, .edm].contains(method) {
      #expect(plan.timesteps.allSatisfy { $0.networkTime == $0.networkTime.rounded() })
    }
  }

  /// DDIM's offset of 1, common in published models, would move the T steps of ancestral sampling beyond T.
  @Test func offsetsOfOtherClassesStayWithThem() throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(scheduler: ["_class_name": "DDIMScheduler", "steps_offset": 1]), on: backend)
    #expect(try model.sample(request(model)).plan.timesteps.map(\.number) == Array((1...20).reversed()))
    #expect(try model.plan(.ddim, steps: 4).timesteps.map(\.number) == [17, 12, 7, 2])
  }

  @Test(arguments: SamplerChoice.allCases) func aModelThatGivesNoNumbersIsNamed(_ method: SamplerChoice) async throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(scaledBy: .nan), on: backend)
    let request = try request(model, method, steps: 3)
    let error = await #expect(throws: SamplingError.self) { try await draw(model, request) }
    guard case .notFinite(step: 1, of: 3, let t) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(t == request.plan?.timesteps.first)
  }

  @Test(arguments: [Float.nan, .infinity]) func noiseThatIsNoNumberIsRefused(_ value: Float) throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(), on: backend)
    let shape = Images.Shape(2, 1, 16, 16)
    let noise = Images(shape: shape, scalars: [value] + [Float](repeating: 0, count: shape.scalarCount - 1))
    var request = try request(model)
    request.initialNoise = noise
    #expect(throws: SamplingError.noiseNotFinite) { try model.sample(request) }
    request.initialNoise = nil
    request.stepNoise = [noise]
    #expect(throws: SamplingError.noiseNotFinite) { try model.sample(request) }
  }

  /// Two gigabytes of noise that a few bytes of disk hold are looked at, and not read, where they are not wanted.
  @Test func recordedNoiseIsNotReadBeforeItIsWanted() throws {
    struct TooLarge: Error {}
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(), on: backend)
    func recorded(_ name: String, _ shape: [Int]) throws -> URL {
      let url = folder.url.appending(path: name)
      let size = 4 * shape.reduce(1, *)
      let header = #"{"\#(name)":{"dtype":"F32","shape":\#(shape),"data_offsets":[0,\#(size)]}}"#
      let length = (0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> (8 * $0)) }
      try AtomicFile.write(length + Array(header.utf8), to: url)
      try #require(truncate(url.path, off_t(8 + header.utf8.count + size)) == 0)
      return url
    }
    let initial = try recorded("initial_noise", [1 << 21, 1, 16, 16])
    let steps = try recorded("step_noise", [20, 2, 1, 16, 16])
    #expect(throws: TooLarge.self) {
      try NoiseFile.initial(initial) { shape, byteCount in
        #expect(shape == .init(1 << 21, 1, 16, 16) && byteCount == 1 << 31)
        throw TooLarge()
      }
    }
    #expect(throws: TooLarge.self) {
      try NoiseFile.steps(steps) { shape, byteCount in
        #expect(shape == .init(2, 1, 16, 16) && byteCount == 2 * 20 * 2 * 1024)
        throw TooLarge()
      }
    }
    #expect(throws: RecordedNoiseError.self) {
      try NoiseFile.initial(initial) { shape, _ in try model.check(noise: shape, of: 2) }
    }
    try model.check(noise: .init(2, 1, 16, 16), of: 2)
    for shape in [Images.Shape(2, 3, 16, 16), .init(3, 1, 16, 16)] {
      #expect(throws: RecordedNoiseError.self) { try model.check(noise: shape, of: 2) }
    }
  }

  /// Samples of other channels are shown as grey planes.
  @Test(arguments: [1, 2, 3]) func imagesAreGreyOrColoured(channels: Int) async throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(channels: (channels, channels)), on: backend)
    let samples = try await draw(model, request(model, .ddim, steps: 2))
    #expect(samples.final.shape == .init(2, channels, 16, 16))
    #expect(samples.pictures.map(\.channels) == (channels == 2 ? [1, 1] : [channels, channels]))
  }

  @Test func varianceBelongsToAncestralSampling() throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(), on: backend)
    for method in SamplerChoice.allCases {
      if method == .ddpm {
        let sequence = try model.sample(request(model, method, steps: 2, variance: .fixedSmall))
        #expect(sequence.plan.process.variance == .fixedSmall)
      } else {
        #expect(throws: SamplingError.varianceWithout(method)) {
          try request(model, method, steps: 2, variance: .fixedSmall)
        }
      }
    }
  }

  /// The last step's pixels are drawn with the σ that the network says.
  @Test(arguments: SamplerChoice.allCases)
  func pixelsAreDrawnWithTheLearnedVariance(_ method: SamplerChoice) async throws {
    let folder = try EvaluationFolder()
    let url = try folder.model(channels: (1, 2), scheduler: ["variance_type": "learned_range"])
    let model = try Model(url, on: backend)
    var request = try request(model, method, steps: 2)
    request.decoder = .sample
    let plan = try #require(request.plan)
    let result = try await draw(model, request)

    // Again by hand: the network's answer at the last level.
    let recorder = Recorder(try Model(url, on: backend).denoiser(batchSize: 2))
    let shape = Images.Shape(2, 1, 16, 16)
    var noise = CounterNoise(seed: 0)
    let sampler: any Sampler =
      switch method {
      case .ddpm: Ancestral()
      case .ddim: DDIM()
      case .dpmSolver: DPMSolverPlusPlus2M()
      case .heun: Heun()
      case .euler: Euler()
      default: plan.sampler
      }
    // DPM-Solver and its like do not clip.
    let process = [.ddpm, .ddim, .heun, .euler].contains(method) ? try model.process() : plan.process
    let mean = try sampler.sample(
      shape: shape, timesteps: plan.timesteps, process: process, denoiser: recorder, noise: &noise)
    let (output, xt, _) = try #require(recorder.last)
    let t = try #require(plan.timesteps.last)
    let logVariance = process.logVariance(process.denoised(output, xt: xt, at: t), at: t, to: .data)
    let uniforms = CounterNoise(seed: 0, stream: .decoder).uniforms(shape: shape)
    let pixels = DiscretizedDecoder.pixels(
      mean: mean, logVariance: logVariance, choosing: .sample, uniforms: uniforms)
    #expect(result.pictures.flatMap(\.planes) == pixels)
    let fixed = DiscretizedDecoder.pixels(
      mean: mean, logVariance: .uniform(process.fixedLogVariance(at: t, to: .data)), choosing: .sample,
      uniforms: uniforms)
    #expect(pixels != fixed)
  }
}

/// Remembers the last question and answer.
private final class Recorder: Denoiser {
  private let denoiser: any Denoiser
  private(set) var last: (output: Images, xt: Images, t: Timestep)?

  init(_ denoiser: any Denoiser) { self.denoiser = denoiser }

  func predict(_ xt: Images, at t: [Timestep], given condition: Condition) throws -> Images {
    let output = try denoiser.predict(xt, at: t, given: condition)
    last = (output, xt, t[0])
    return output
  }
}
