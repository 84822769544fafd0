import CPUBackend
import DDPM
import Diffusion
import Files
import TensorGraph
import TestSupport
import Testing

/// Whole runs of diffusers' samplers with the noise recorded, network included.
@Suite struct SamplerReferenceTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var file: String
    var method: SamplingMethod
    var steps: Int
    var η = 0.0
    var spacing: TimestepSpacing?
    var variance: ReverseVariance?
    var tolerance = 1e-4
    var testDescription: String { file }
  }

  static let cases = [
    Case(file: "ddim-eta0-20", method: .ddim, steps: 20),
    Case(file: "ddim-eta0.5-20-trailing", method: .ddim, steps: 20, η: 0.5, spacing: .trailing),
    Case(file: "dpmsolver++2m-15", method: .dpmSolver, steps: 15),
    Case(file: "ddpm-fixed_small-50", method: .ddpm, steps: 50, variance: .fixedSmall),
    Case(file: "ddpm-fixed_large-1000", method: .ddpm, steps: 1000, variance: .fixedLarge, tolerance: 1e-3),
  ]

  @Test(.needsShared, arguments: cases) func repeatsDiffusers(_ test: Case) throws {
    let url = try SharedFiles.url("reference/samplers/\(test.file).safetensors")
    let recorded = try SafetensorsFile(contentsOf: url)
    var options = SamplingRun.Options()
    options.method = test.method
    options.steps = test.steps
    options.η = test.η
    options.spacing = test.spacing
    options.variance = test.variance
    options.initialNoise = try NoiseFile.initial(url)
    options.stepNoise = recorded["step_noise"] == nil ? nil : try NoiseFile.steps(url)
    options.count = options.initialNoise?.shape.count ?? 0
    let sampling = try SamplingRun(
      model: SharedFiles.url("reference/pipelines/mnist-trained"), options: options,
      on: CPUBackend(.init(threads: 1, tuning: .fixed)))
    let expected = try recorded.floats("final")
    let found = try sampling().final.scalars
    #expect(found.count == expected.count)
    let difference = zip(found, expected).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
    let norm = expected.reduce(0.0) { $0 + Double($1) * Double($1) }
    #expect((difference / norm).squareRoot() < test.tolerance)
  }

  /// Image i depends on (seed, i) only, whatever computes it.
  @Test(.needsShared, arguments: [[.amx, .direct], [.winograd, .direct], [.direct]] as [Set<ConvolutionAlgorithm>])
  func imagesDoNotDependOnTheBatch(algorithms: Set<ConvolutionAlgorithm>) throws {
    func draw(count: Int, batchSize: Int) throws -> SamplingRun.Result {
      var options = SamplingRun.Options()
      (options.count, options.batchSize, options.seed) = (count, batchSize, 1)
      (options.method, options.steps) = (.ddim, 4)
      return try SamplingRun(
        model: SharedFiles.url("reference/pipelines/mnist-trained"), options: options,
        on: CPUBackend(.init(threads: 1, tuning: .fixed, algorithms: algorithms)))()
    }
    let together = try draw(count: 7, batchSize: 7)
    for size in [1, 3, 4] {
      let apart = try draw(count: 7, batchSize: size)
      #expect(apart.final == together.final, "batches of \(size)")
      #expect(apart.pictures == together.pictures, "batches of \(size)")
    }
    #expect(try draw(count: 3, batchSize: 3).final.scalars[...] == together.final.scalars.prefix(3 * 28 * 28))
  }
}
