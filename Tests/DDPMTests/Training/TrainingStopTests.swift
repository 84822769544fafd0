import CPUBackend
import DDPM
import Files
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Runs that end early: because their watcher says so, or because a checkpoint is damaged.
@Suite struct TrainingStopTests {
  private let backend = CPUBackend(.init(threads: 1))

  private func weights(_ folder: URL, step: Int) throws -> [UInt8] {
    let checkpoint = RunDirectory(folder).checkpoints.url(step: step)
    return try FileBytes.read(checkpoint.appending(path: "weights.safetensors").path, limit: 1 << 20)
  }

  /// What the watcher answers `stopAndSave` to.
  enum Occasion: Sendable, CaseIterable {
    case prepared, step, logged, samples, checkpoint

    /// Whether it is this one, at step 3 or before the first.
    func isMet(by event: TrainingEvent, after step: Int) -> Bool {
      switch (self, event) {
      case (.prepared, .prepared): true
      case (.step, .step(let report)): report.step == 3
      case (.logged, .logged), (.samples, .samples), (.checkpoint, .checkpoint): step == 3
      default: false
      }
    }

    var stopsAt: Int { self == .prepared ? 0 : 3 }
  }

  /// The step is finished, a checkpoint is written, and the run goes on from there as if nothing had happened.
  @Test(arguments: Occasion.allCases) func stopsAndSaves(_ occasion: Occasion) throws {
    try withTemporaryFolder { folder in
      let (straight, broken) = (folder.appending(path: "straight"), folder.appending(path: "broken"))
      var configuration = TrainingRunTests.tiny
      (configuration.logEvery, configuration.checkpointEvery) = (3, 3)
      try train(configuration, output: straight, on: backend)

      var (step, later) = (0, 0)
      let outcome = try TrainingRun(configuration, output: broken, on: backend)() { event in
        if case .step(let report) = event {
          step = report.step
          later = max(later, step)
        }
        return occasion.isMet(by: event, after: step) ? .stopAndSave : .goOn
      }
      #expect(outcome == .stopped(step: occasion.stopsAt))
      #expect(later == occasion.stopsAt)
      #expect(RunDirectory(broken).checkpoints.steps.last == occasion.stopsAt)
      // The model is there, whole.
      _ = try Model(broken, on: backend)

      try resume(broken, on: backend)
      #expect(try weights(broken, step: 6) == weights(straight, step: 6))
      let losses = try [straight, broken].map { try MetricsLog.losses(RunDirectory($0).metrics) }
      #expect(losses[0].map(\.step) == [3, 6])
      #expect(losses[0].map(\.loss) == losses[1].map(\.loss))
    }
  }

  /// Asked to stop in the last step, a run is finished all the same.
  @Test func theLastStepIsTheEnd() throws {
    try withTemporaryFolder { folder in
      let run = try TrainingRun(TrainingRunTests.tiny, output: folder.appending(path: "run"), on: backend)
      var finished = false
      let outcome = try run { event in
        if case .finished = event { finished = true }
        if case .step(let report) = event, report.step == 6 { return .stopAndSave }
        return .goOn
      }
      #expect(outcome == .finished && finished)
    }
  }

  /// Where the newest checkpoint is damaged, the run goes on from the one before, says so, and ends where it would have.
  @Test(arguments: ["state.json", "adam_v.safetensors"]) func goesOnFromTheLastWholeCheckpoint(file: String) throws {
    try withTemporaryFolder { folder in
      let (straight, broken) = (folder.appending(path: "straight"), folder.appending(path: "broken"))
      var configuration = TrainingRunTests.tiny
      configuration.sampleEvery = 0
      try train(configuration, output: straight, on: backend)
      try train(configuration, output: broken, on: backend)
      #expect(RunDirectory(broken).checkpoints.steps == [4, 6])
      let damaged = RunDirectory(broken).checkpoints.url(step: 6).appending(path: file)
      try AtomicFile.write(Array(FileBytes.read(damaged.path, limit: 1 << 20).dropLast(9)), to: damaged)

      var warnings: [String] = []
      let outcome = try TrainingRun(resuming: broken, on: backend)() {
        if case .warning(let text) = $0 { warnings.append(text) }
        return .goOn
      }
      #expect(outcome == .finished)
      #expect(warnings.contains { $0.contains(file) && $0.hasSuffix("going on from step 4 instead") }, "\(warnings)")
      #expect(try weights(broken, step: 6) == weights(straight, step: 6))
    }
  }

  /// A flipped bit of the model is found when it is opened; resuming the run, though finished, writes it anew.
  @Test func aDamagedModelIsNamedAndMended() throws {
    try withTemporaryFolder { folder in
      var configuration = TrainingRunTests.tiny
      configuration.sampleEvery = 0
      try train(configuration, output: folder, on: backend)
      let fingerprint = try Model(folder, on: backend).fingerprint()
      let file = folder.appending(path: "unet/diffusion_pytorch_model.safetensors")
      var bytes = try FileBytes.read(file.path, limit: 1 << 20)
      bytes[bytes.count - 3] ^= 1
      try AtomicFile.write(bytes, to: file)
      let error = #expect(throws: SafetensorsError.self) { try Model(folder, on: backend) }
      #expect(error?.description.contains("CRC32C") == true && error?.file == file.path)

      #expect(try TrainingRun(resuming: folder, on: backend)() { _ in .goOn } == .finished)
      #expect(try Model(folder, on: backend).fingerprint() == fingerprint)
    }
  }
}
