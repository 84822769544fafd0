import CPUBackend
import DDPM
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
    try check(name, on: CPUBackend(CPUBackend.Options(tuning: .fixed, cacheFolder: nil)))
  }

  /// 64-bit loop nests take long: the small networks only.
  @Test(.needsShared, arguments: ["classes", "learned-range"])
  func referenceBackendAgreesWithPyTorch(name: String) throws { try check(name, on: ReferenceBackend()) }

  private func check(_ name: String, on backend: any Backend) throws {
    let directory = try SharedFiles.url("reference/pipelines/\(name)")
    let expected = try SafetensorsFile(contentsOf: directory.appending(path: "io.safetensors"))
    let (pipeline, weights) = try PipelineDirectory.load(directory)
    let run = try NetworkRun(expected, for: pipeline.unet, gradients: true)
    let results = try run(pipeline.unet, weights, on: backend)

    let given: Set = ["sample", "timestep", "class_labels", "target"]
    #expect(Set(results.map(\.name)) == Set(expected.tensors.map(\.name)).subtracting(given))
    var worst = (error: 0.0, name: "")
    for result in results {
      let reference = try expected.floats(result.name)
      guard case .floats(let values) = result.values, values.count == reference.count else {
        Issue.record("\(result.name) has \(result.shape)")
        continue
      }
      #expect(result.shape == expected[result.name]?.shape)
      let isGradient = result.name.hasPrefix("grad.")
      let error = relativeL2(values, reference, floor: isGradient ? gradientFloor(reference) : 0)
      #expect(error <= (isGradient ? 1e-3 : 1e-4), "\(result.name): \(error)")
      if isGradient, error > worst.error { worst = (error, result.name) }
      if !isGradient { print("\(name), \(backend.name): \(result.name) \(error)") }
    }
    print("\(name), \(backend.name): worst gradient \(worst.error) (\(worst.name))")
  }

  /// Gradients that are zero in exact arithmetic (a key's bias; a bias before a norm with a channel per group) hold only rounding:
  /// 1e-7 an element is below any gradient that means something here.
  private func gradientFloor(_ reference: [Float]) -> Double { 1e-7 * Double(reference.count).squareRoot() }

  /// ‖a − b‖ / max(‖b‖, floor).
  private func relativeL2(_ a: [Float], _ b: [Float], floor: Double) -> Double {
    let difference = zip(a, b).reduce(0) { $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1)) }
    let norm = b.reduce(0) { $0 + Double($1) * Double($1) }
    return difference.squareRoot() / max(norm.squareRoot(), floor)
  }
}
