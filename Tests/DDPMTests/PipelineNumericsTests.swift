import CPUBackend
import DDPM
import Diffusers
import Files
import Networks
import TensorGraph
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Whole networks against PyTorch's numbers: outputs within 1e-4 relative L2, every gradient within 1e-3.
@Suite(.serialized) struct PipelineNumericsTests {
  @Test(.needsShared, arguments: ["mnist", "classes", "learned-range", "cifar10-thin"])
  func cpuBackendAgreesWithPyTorch(name: String) throws {
    try check(name, on: CPUBackend(CPUBackend.Options()))
  }

  /// 64-bit loop nests take long: the small networks only.
  @Test(.needsShared, arguments: ["mnist", "classes", "learned-range", "cifar10-thin"])
  func referenceBackendAgreesWithPyTorch(name: String) throws { try check(name, on: ReferenceBackend()) }

  private func check(_ name: String, on backend: any Backend) throws {
    let directory = try SharedFiles.url("reference/pipelines/\(name)")
    let expected = try SafetensorsFile(contentsOf: directory.appending(path: "io.safetensors"))
    let (pipeline, weights) = try PipelineDirectory.load(directory)
    let unet = try #require(pipeline.network as? UNetConfig)
    let run = try NetworkRun(expected, for: unet, gradients: true)
    let results = try run(unet, weights, on: backend)

    let given: Set = ["sample", "timestep", "class_labels", "target"]
    #expect(Set(results.map(\.name)) == Set(expected.tensors.map(\.name)).subtracting(given))
    // Some gradients are zero in exact arithmetic: that of a key's bias, which softmax ignores, or of a constant added to a channel
    // that is a norm group of its own. PyTorch's values for these are rounding alone, thousands of times below all others: ours must
    // be as small, and nothing more can be compared.
    let gradients = try results.map(\.name).filter { $0.hasPrefix("grad.") }.map { try expected.floats($0) }
    let typical = rms(gradients.flatMap { $0 })
    var worst = (error: 0.0, name: "")
    for result in results {
      let reference = try expected.floats(result.name)
      guard case .floats(let values) = result.values, values.count == reference.count else {
        Issue.record("\(result.name) has \(result.shape)")
        continue
      }
      #expect(result.shape == expected[result.name]?.shape)
      let isGradient = result.name.hasPrefix("grad.")
      if isGradient, rms(reference) < 1e-5 * typical {
        #expect(rms(values) < 1e-5 * typical, "\(result.name) should be zero and is \(rms(values)), all: \(typical)")
        continue
      }
      let error = rms(zip(values, reference).map { $0 - $1 }) / rms(reference)
      #expect(error <= (isGradient ? 1e-3 : 1e-4), "\(result.name): \(error)")
      if isGradient, error > worst.error { worst = (error, result.name) }
      if !isGradient { print("\(name), \(backend.name): \(result.name) \(error)") }
    }
    print("\(name), \(backend.name): worst gradient \(worst.error) (\(worst.name))")
  }

  private func rms(_ values: [Float]) -> Double {
    (values.reduce(0) { $0 + Double($1) * Double($1) } / Double(values.count)).squareRoot()
  }
}
