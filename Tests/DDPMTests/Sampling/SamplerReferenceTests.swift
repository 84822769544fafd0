import CPUBackend
import DDPM
import Diffusers
import Diffusion
import Files
import TensorGraph
import TestSupport
import Testing

/// Whole runs of diffusers' samplers with the noise recorded, network included.
@Suite struct SamplerReferenceTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var file: String
    var method: SamplerChoice
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

  @Test(.needsShared, arguments: cases) func repeatsDiffusers(_ test: Case) async throws {
    let url = try SharedFiles.url("reference/samplers/\(test.file).safetensors")
    let recorded = try SafetensorsFile(contentsOf: url)
    let model = try Model(
      SharedFiles.url("reference/pipelines/mnist-trained"), on: CPUBackend(.init(threads: 1)))
    let initialNoise = try NoiseFile.initial(url)
    var request = SamplingRequest(count: initialNoise.shape.count)
    request.plan = try model.plan(
      test.method, steps: test.steps, spacing: test.spacing, eta: test.η, variance: test.variance)
    request.initialNoise = initialNoise
    request.stepNoise = recorded["step_noise"] == nil ? nil : try NoiseFile.steps(url)
    let expected = try recorded.floats("final")
    let found = try await draw(model, request).final.scalars
    #expect(found.count == expected.count)
    let difference = zip(found, expected).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
    let norm = expected.reduce(0.0) { $0 + Double($1) * Double($1) }
    #expect((difference / norm).squareRoot() < test.tolerance)
  }

  /// Image i depends on (seed, i) only, whatever computes it.
  @Test(.needsShared, arguments: [[.amx, .direct], [.winograd, .direct], [.direct]] as [Set<ConvolutionAlgorithm>])
  func imagesDoNotDependOnTheBatch(algorithms: Set<ConvolutionAlgorithm>) async throws {
    let model = try Model(
      SharedFiles.url("reference/pipelines/mnist-trained"),
      on: CPUBackend(.init(threads: 1, algorithms: algorithms)))
    func drawn(_ count: Int, batchSize: Int) async throws -> [Samples] {
      var request = SamplingRequest(count: count)
      (request.batchSize, request.seed) = (batchSize, 1)
      request.plan = try model.plan(.ddim, steps: 4)
      return try await draw(model, request)
    }
    let together = try await drawn(7, batchSize: 7)
    for size in [1, 3, 4] {
      let apart = try await drawn(7, batchSize: size)
      #expect(apart.final == together.final, "batches of \(size)")
      #expect(apart.pictures == together.pictures, "batches of \(size)")
    }
    let few = try await drawn(3, batchSize: 3)
    #expect(few.final.scalars[...] == together.final.scalars.prefix(3 * 28 * 28))
  }
}
