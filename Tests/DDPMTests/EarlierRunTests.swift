import CPUBackend
import DDPM
import Diffusion
import Files
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A run that an earlier version began: conditional, with dropout, importance sampling and accumulation, stopped at step 4 of 8. `run` is
/// as it was left, `samples` what was drawn from it, `finished` what the earlier version made of it.
///
/// Where the processor runs the same kernels the numbers are the same to the last bit; the tests allow for others.
@Suite struct EarlierRunTests {
  private let fixture = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/earlier-run")
  private let backend = CPUBackend(.init(threads: 1))

  @Test func itsModelDrawsWhatItDrew() async throws {
    let model = try Model(fixture.appending(path: "run"), on: backend)
    #expect(model.classCount == 36 && model.card.nullClass == nil)
    let recorded = try SafetensorsFile(contentsOf: fixture.appending(path: "samples.safetensors"))
    var request = SamplingRequest(count: 4)
    (request.seed, request.recordsNoise) = (3, true)
    let drawn = try await draw(model, request)
    #expect(try drawn[0].initialNoise?.scalars == recorded.floats("initial_noise"))
    #expect(try drawn[0].stepNoise.flatMap(\.scalars) == recorded.floats("step_noise"))
    try compare(drawn.final.scalars, recorded.floats("final"), "samples")
  }

  @Test func itGoesOnAsItWouldHave() throws {
    try withTemporaryFolder { folder in
      let output = folder.appending(path: "run")
      try FileManager.default.copyItem(at: fixture.appending(path: "run"), to: output)
      let run = try TrainingRun(resuming: output, changes: ["steps": 8], on: backend)
      #expect(run.state.step == 4)
      #expect(try run { _ in .goOn } == .finished)

      let finished = fixture.appending(path: "finished")
      for file in ["weights.safetensors", "ema.safetensors"] {
        let expected = try SafetensorsFile(contentsOf: finished.appending(path: file))
        let found = try SafetensorsFile(
          contentsOf: RunDirectory(output).checkpoints.url(step: 8).appending(path: file))
        #expect(found.tensors.map(\.name) == expected.tensors.map(\.name))
        // Softmax ignores a key's bias: its gradient is rounding alone, and Adam makes steps of it.
        let names = expected.tensors.map(\.name).filter { !$0.hasSuffix("to_k.bias") }
        try compare(names.flatMap(found.floats), names.flatMap(expected.floats), file)
      }

      let (found, expected) = (try lines(output), try lines(finished))
      #expect(found.count == 4 && found.map { $0["step"] } == expected.map { $0["step"] })
      for (found, expected) in zip(found, expected) {
        #expect(Set(found.keys) == Set(expected.keys))
        for (key, value) in expected where !["seconds", "images_per_second"].contains(key) {
          compare(numbers(found[key]), numbers(value), "\(key) of step \(expected["step"] ?? .null)")
        }
      }
    }
  }

  private func lines(_ folder: URL) throws -> [[String: JSONValue]] {
    let bytes = try FileBytes.read(folder.appending(path: "metrics.jsonl").path, limit: 1 << 20)
    return try String(decoding: bytes, as: UTF8.self).split(separator: "\n").map {
      try JSONValue(parsing: String($0)).object ?? [:]
    }
  }

  private func numbers(_ value: JSONValue?) -> [Double] {
    (value?.array ?? [value ?? .null]).map { $0.double ?? .nan }
  }

  /// ‖found − expected‖ ≤ 10⁻⁵ ‖expected‖. DDPM_SHOW_ERRORS prints which are the same to the last bit.
  private func compare(_ found: [Double], _ expected: [Double], _ what: String) {
    expect(found == expected ? 0 : relativeL2(found, expected), atMost: 1e-5, what)
  }

  private func compare(_ found: [Float], _ expected: [Float], _ what: String) {
    compare(found.map(Double.init), expected.map(Double.init), what)
  }
}
