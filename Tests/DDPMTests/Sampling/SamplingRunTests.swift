import CPUBackend
import DDPM
import Datasets
import Diffusion
import Pictures
import TensorGraph
import Testing

/// Options and models of drawing, on a small network.
@Suite struct SamplingRunTests {
  private let backend = CPUBackend(CPUBackend.Options(threads: 1, tuning: .fixed, cacheFolder: nil))

  private func options(_ method: SamplingMethod = .ddpm, steps: Int? = nil) -> SamplingRun.Options {
    var options = SamplingRun.Options()
    (options.method, options.steps, options.count, options.batchSize) = (method, steps, 2, 2)
    return options
  }

  /// The levels that are visited when the user does not say: the model's choice, or the sampler's own default.
  @Test(
    arguments: [
      (.ddpm, nil, [16, 11, 6, 1]), (.ddim, nil, [16, 11, 6, 1]), (.heun, nil, [20, 14, 7, 1]),
      (.euler, nil, [20, 14, 7, 1]), (.dpmSolver, nil, [20, 15, 11, 6]), (.ddpm, "trailing", [20, 15, 10, 5]),
      (.ddim, "trailing", [20, 15, 10, 5]), (.heun, "trailing", [20, 15, 10, 5]),
      (.dpmSolver, "trailing", [20, 15, 10, 5]), (.ddim, "linspace", [20, 14, 7, 1]),
    ] as [(SamplingMethod, String?, [Int])])
  func spacingIsTheModels(_ method: SamplingMethod, _ spacing: String?, _ levels: [Int]) throws {
    let folder = try EvaluationFolder()
    let model = try folder.model(scheduler: spacing.map { ["timestep_spacing": .string($0)] } ?? [:])
    let run = try SamplingRun(model: model, options: options(method, steps: 4), on: backend)
    #expect(run.timesteps.map(\.number) == levels)
  }

  /// DDIM's offset of 1, common in published models, would move the T steps of ancestral sampling beyond T.
  @Test func offsetsOfOtherClassesStayWithThem() throws {
    let folder = try EvaluationFolder()
    let model = try folder.model(scheduler: ["_class_name": "DDIMScheduler", "steps_offset": 1])
    #expect(
      try SamplingRun(model: model, options: options(), on: backend).timesteps.map(\.number)
        == Array((1...20).reversed()))
    let ddim = try SamplingRun(model: model, options: options(.ddim, steps: 4), on: backend)
    #expect(ddim.timesteps.map(\.number) == [17, 12, 7, 2])
  }

  @Test(arguments: SamplingMethod.allCases) func aModelThatGivesNoNumbersIsNamed(_ method: SamplingMethod) throws {
    let folder = try EvaluationFolder()
    let run = try SamplingRun(
      model: folder.model(scaledBy: .nan), options: options(method, steps: 3), on: backend)
    let error = #expect(throws: SamplingError.self) { try run() }
    guard case .notFinite(step: 1, of: 3, let t) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(t == run.timesteps.first)
  }

  @Test(arguments: [Float.nan, .infinity]) func noiseThatIsNoNumberIsRefused(_ value: Float) throws {
    let folder = try EvaluationFolder()
    let model = try folder.model()
    let shape = Images.Shape(2, 1, 16, 16)
    let noise = Images(shape: shape, scalars: [value] + [Float](repeating: 0, count: shape.scalarCount - 1))
    var options = options()
    options.initialNoise = noise
    #expect(throws: SamplingError.noiseNotFinite) { try SamplingRun(model: model, options: options, on: backend) }
    options.initialNoise = nil
    options.stepNoise = [noise]
    #expect(throws: SamplingError.noiseNotFinite) { try SamplingRun(model: model, options: options, on: backend) }
  }

  @Test func imagesAreGreyOrColoured() throws {
    let folder = try EvaluationFolder()
    #expect(throws: SamplingError.channels(2)) {
      try SamplingRun(model: folder.model(channels: (2, 2)), options: options(), on: backend)
    }
  }

  @Test func varianceBelongsToAncestralSampling() throws {
    let folder = try EvaluationFolder()
    let model = try folder.model()
    for method in SamplingMethod.allCases {
      var options = options(method, steps: 2)
      options.variance = .fixedSmall
      if method == .ddpm {
        _ = try SamplingRun(model: model, options: options, on: backend)
      } else {
        #expect(throws: SamplingError.varianceWithout(method)) {
          try SamplingRun(model: model, options: options, on: backend)
        }
      }
    }
  }

  /// The last step's pixels are drawn with the σ that the network says.
  @Test(arguments: SamplingMethod.allCases) func pixelsAreDrawnWithTheLearnedVariance(_ method: SamplingMethod) throws {
    let folder = try EvaluationFolder()
    let model = try folder.model(channels: (1, 2), scheduler: ["variance_type": "learned_range"])
    var options = options(method, steps: 2)
    options.decoder = .sample
    let run = try SamplingRun(model: model, options: options, on: backend)
    let result = try run()

    // Again by hand: the network's answer at the last level.
    let evaluation = try EvaluationModel(model)
    let denoiser = try evaluation.denoiser(
      batchSize: 2, ImageShape(channels: 1, height: 16, width: 16), on: backend)
    let recorder = Recorder(denoiser)
    let shape = Images.Shape(2, 1, 16, 16)
    var noise = CounterNoise(seed: 0)
    let sampler: any Sampler =
      switch method {
      case .ddpm: Ancestral()
      case .ddim: DDIM()
      case .dpmSolver: DPMSolverPlusPlus2M()
      case .heun: Heun()
      case .euler: Euler()
      }
    // DPM-Solver does not clip.
    let process = method == .dpmSolver ? run.process : evaluation.process
    let mean = try sampler.sample(
      shape: shape, timesteps: run.timesteps, process: process, denoiser: recorder, noise: &noise)
    let (output, xt, t) = try #require(recorder.last)
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
