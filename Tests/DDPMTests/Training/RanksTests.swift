import CPUBackend
import DDPM
import Datasets
import Diffusion
import Files
import Ranks
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Several ranks do what one does, to the last bit.
@Suite struct RanksTests {
  private static let backend = CPUBackend(.init(threads: 1))

  /// All that is random: dropout, dropped classes, importance sampling of t.
  private static func configuration(parts: Int, steps: Int = 3) throws -> TrainingConfiguration {
    try TrainingConfiguration(
      over: TrainingRunTests.tiny,
      layers: [
        (
          "test",
          [
            "accumulate": .integer(parts), "batch_size": .integer(2 * parts), "steps": .integer(steps),
            "classes": true, "condition_dropout": 0.5, "timestep_sampling": "importance", "timesteps": 1,
            "sample_steps": 1, "log_every": 2, "checkpoint_every": 2, "sample_every": 2, "gradient_clip": 0.5,
            "warmup_steps": 0,
          ]
        )
      ])
  }

  private static func train(_ configuration: TrainingConfiguration, _ output: URL, ranks: Int) throws {
    let outcomes = try ThreadRank.run(ranks) { rank in
      try TrainingRun(configuration, output: output, ranks: rank, on: backend)() { _ in .goOn }
    }
    #expect(outcomes == Array(repeating: .finished, count: ranks))
  }

  private static func resume(_ output: URL, ranks: Int) throws {
    _ = try ThreadRank.run(ranks) { rank in
      try TrainingRun(resuming: output, ranks: rank, on: backend)() { _ in .goOn }
    }
  }

  /// Every file but for times.
  private static func compare(_ straight: URL, _ other: URL, step: Int, _ comment: String) throws {
    let folder = "checkpoints/step-0000000\(step)"
    let files = try names(in: straight.appending(path: folder)).map { "\(folder)/\($0)" }
    #expect(files.count == 7)
    for file in files + [
      "unet/diffusion_pytorch_model.safetensors", "training.json", "samples/step-0000000\(step).png",
    ] {
      let bytes = try [straight, other].map { try FileBytes.read($0.appending(path: file).path, limit: 1 << 30) }
      #expect(bytes[0] == bytes[1], "\(comment): \(file)")
    }
    let losses = try [straight, other].map { try MetricsLog.losses(RunDirectory($0).metrics) }
    #expect(losses[0].map(\.loss) == losses[1].map(\.loss) && losses[0].map(\.step) == losses[1].map(\.step))
  }

  @Test(arguments: [(2, [2]), (4, [2, 3, 4]), (7, [3]), (8, [2, 4, 8])]) func anyNumberOfThemIsOne(
    parts: Int, counts: [Int]
  ) throws {
    try withTemporaryFolder { folder in
      let configuration = try Self.configuration(parts: parts)
      let alone = folder.appending(path: "alone")
      try DDPMTests.train(configuration, output: alone, on: Self.backend)
      for count in counts {
        let output = folder.appending(path: "\(count)")
        try Self.train(configuration, output, ranks: count)
        try Self.compare(alone, output, step: 3, "\(count) ranks, \(parts) parts")
      }
    }
  }

  /// One rank of four is asked to stop: all do, at one step, and go on as two, or one.
  @Test func anyNumberGoesOn() throws {
    try withTemporaryFolder { folder in
      let configuration = try Self.configuration(parts: 4, steps: 5)
      let (alone, output) = (folder.appending(path: "alone"), folder.appending(path: "shared"))
      try DDPMTests.train(configuration, output: alone, on: Self.backend)
      let outcomes = try ThreadRank.run(4) { rank in
        try TrainingRun(configuration, output: output, ranks: rank, on: Self.backend)() { event in
          if case .step(let report) = event, report.step == 3, rank.rank == 2 { return .stopAndSave }
          return .goOn
        }
      }
      #expect(outcomes == Array(repeating: .stopped(step: 3), count: 4))
      let copy = folder.appending(path: "copy")
      try FileManager.default.copyItem(at: output, to: copy)
      try Self.resume(output, ranks: 2)
      try Self.compare(alone, output, step: 5, "four, then two")
      try DDPMTests.resume(copy, on: Self.backend)
      try Self.compare(alone, copy, step: 5, "four, then one")
    }
  }

  /// Added in another order, the sums are the same but for rounding.
  @Test func fastIsNearlyExact() throws {
    try withTemporaryFolder { folder in
      var configuration = try Self.configuration(parts: 6)
      configuration.sampleEvery = 0
      let settled = configuration
      let (exact, fast) = (folder.appending(path: "exact"), folder.appending(path: "fast"))
      try Self.train(settled, exact, ranks: 1)
      _ = try ThreadRank.run(3) { rank in
        try TrainingRun(settled, output: fast, ranks: rank, reduction: .fast, on: Self.backend)() { _ in .goOn }
      }
      let losses = try [exact, fast].map { try MetricsLog.losses(RunDirectory($0).metrics).map(\.loss) }
      #expect(losses[0].count == 2 && losses[1].count == 2)
      for (a, b) in zip(losses[0], losses[1]) { #expect(abs(a - b) < 1e-3 * a) }
    }
  }

  /// Devices of two processes share each part of a batch, and average gradients within the program: both have what one alone has, but for
  /// rounding, and the first writes it.
  @Test(arguments: [1, 2]) func devicesOfTwoAreOne(parts: Int) throws {
    try withTemporaryFolder { folder in
      let configuration = try TrainingConfiguration(
        over: TrainingRunTests.tiny,
        layers: [
          (
            "test",
            [
              "accumulate": .integer(parts), "batch_size": 4, "steps": 3, "classes": true, "dropout": 0.1,
              "timestep_sampling": "importance", "timesteps": 2, "sample_steps": 1, "log_every": 1,
              "checkpoint_every": 2, "sample_every": 3,
            ]
          )
        ])
      let (alone, joined) = (folder.appending(path: "alone"), folder.appending(path: "joined"))
      try DDPMTests.train(configuration, output: alone, on: ReferenceBackend())
      let weights = try ThreadRank.run(2) { rank in
        let cluster = ReferenceBackend.Cluster(count: 2) { mine in
          let all = try rank.gather(mine, most: mine.count)
          return all[0].indices.map { i in (all[0][i] + all[1][i]) / 2 }
        }
        let run = try TrainingRun(
          configuration, output: joined, ranks: rank, reduction: .device, on: ReferenceBackend(cluster))
        #expect(try run { _ in .goOn } == .finished)
        return try run.engine.states.read("conv_in.weight").floats
      }
      #expect(weights[0] == weights[1])
      let straight = try SafetensorsFile(
        contentsOf: alone.appending(path: "checkpoints/step-00000003/weights.safetensors"))
      let expected = try straight.floats("conv_in.weight")
      #expect(weights[0].count == expected.count)
      for (a, b) in zip(weights[0], expected) { #expect(abs(a - b) < 1e-5 * max(1, abs(b))) }
      let logs = try [alone, joined].map { try MetricsLog.losses(RunDirectory($0).metrics) }
      #expect(logs[0].map(\.step) == [1, 2, 3] && logs[1].map(\.step) == [1, 2, 3])
      for (a, b) in zip(logs[0], logs[1]) { #expect(abs(a.loss - b.loss) < 1e-5 * a.loss) }
      #expect(try names(in: joined.appending(path: "checkpoints")).contains("step-00000003"))
      #expect(FileManager.default.fileExists(atPath: joined.appending(path: "samples/step-00000003.png").path))
    }
  }

  /// Moments and averages are held once, and the plan says so.
  @Test func memoryIsShared() throws {
    try withTemporaryFolder { folder in
      func states(_ ranks: Int) throws -> [Int] {
        try ThreadRank.run(ranks) { rank in
          let run = try TrainingRun(
            Self.configuration(parts: 4), output: folder.appending(path: "\(ranks)"), ranks: rank, on: Self.backend)
          return run.engine.states.byteCount
        }
      }
      let (one, four) = (try states(1), try states(4))
      // θ, m, v, θ̄, and two sums of gradients; of four ranks' states half are shared, and those who sum one part have one.
      #expect(one.count == 1 && four.count == 4)
      let parameters = one[0] / 6
      for bytes in four { #expect(bytes > 2 * parameters && bytes < 3 * parameters + parameters / 4, "\(bytes)") }
      #expect(four.reduce(0, +) == 4 * 2 * parameters + 3 * parameters)
    }
  }

  /// Ranks that measure some of the images each have the statistics of all.
  @Test(arguments: [2, 3, 5]) func theBoundIsMeasuredTogether(count: Int) throws {
    let optimum = GaussianOptimum(schedule: try NoiseSchedule(T: 12, rescaled: false), flaw: 0.1)
    @Sendable func makeRun() throws -> BoundRun<GaussianOptimum> {
      BoundRun(
        try optimum.bound(), denoiser: optimum, visits: try TimestepVisits(T: 12, count: 5), seed: 3, batchSize: 8)
    }
    var alone = BoundStatistics(T: 12)
    try makeRun()(&alone, upTo: 7, image: optimum.image)
    let together = try ThreadRank.run(count) { rank in
      var run = try makeRun()
      run.ranks = rank
      var statistics = BoundStatistics(T: 12)
      // In two goes, the second from where the first ended.
      try run(&statistics, upTo: 4, image: optimum.image)
      try run(&statistics, upTo: 7, image: optimum.image)
      return statistics
    }
    #expect(alone.images.count == 7 && together == Array(repeating: alone, count: count))
  }

  @Test func differencesAreNamed() throws {
    try withTemporaryFolder { folder in
      let configuration = try Self.configuration(parts: 4)
      let error = #expect(throws: RankError.self) {
        try ThreadRank.run(2) { rank in
          var own = configuration
          own.data = rank.rank == 0 ? "glyphs" : "moons"
          if rank.rank == 1 { (own.imageSize, own.classes, own.conditionDropout) = (nil, false, nil) }
          _ = try TrainingRun(own, output: folder.appending(path: "data"), ranks: rank, on: Self.backend)() { _ in
            .goOn
          }
        }
      }
      #expect(error?.description.hasPrefix("rank 1 on host1 has another digest of its data") == true)
      let other = #expect(throws: RankError.self) {
        try ThreadRank.run(2) { rank in
          var own = configuration
          own.learningRate *= Double(1 + rank.rank)
          _ = try TrainingRun(own, output: folder.appending(path: "rate"), ranks: rank, on: Self.backend)() { _ in
            .goOn
          }
        }
      }
      #expect(other?.description.contains("configuration") == true)
      #expect(throws: RankError.parts(4, ranks: 5)) {
        try ThreadRank.run(5) { rank in
          _ = try TrainingRun(configuration, output: folder.appending(path: "many"), ranks: rank, on: Self.backend)
        }
      }
    }
  }
}

/// The order of a sum.
@Suite struct SumTreeTests {
  /// Runs the steps on texts.
  private func text(_ node: Range<Int>) -> String {
    var (accumulated, levels) = ("", [Int: String]())
    for step in SumTree.steps(of: node) {
      switch step {
      case .part(let part, let keeps): accumulated = keeps ? "(\(accumulated)+\(part))" : "\(part)"
      case .fold(let fold):
        let sum = fold.levels.reduce(accumulated) { sum, level in
          "(\(levels.removeValue(forKey: level) ?? "?")+\(sum))"
        }
        if let target = fold.target { levels[target] = sum } else { accumulated = sum }
      }
    }
    return accumulated
  }

  @Test(arguments: [
    (1, "0"), (2, "(0+1)"), (3, "((0+1)+2)"), (4, "((0+1)+(2+3))"), (5, "(((0+1)+(2+3))+4)"),
    (7, "(((0+1)+(2+3))+((4+5)+6))"), (8, "(((0+1)+(2+3))+((4+5)+(6+7)))"),
  ]) func itsOrderIsKnown(parts: Int, expected: String) { #expect(text(0..<parts) == expected) }

  /// Whoever sums what: the whole is the same expression.
  @Test func everyDivisionGivesIt() {
    for parts in 1...33 {
      let (tree, whole) = (SumTree(parts: parts), text(0..<parts))
      for count in 1...parts {
        let shares = (0..<count).map { tree.share(ofRank: $0, of: count) }
        #expect(shares.flatMap(Array.init) == Array(0..<parts) && shares.allSatisfy { !$0.isEmpty })
        let nodes = Set(shares.flatMap(tree.nodes))
        let sum = tree.sum({ nodes.contains($0) ? text($0) : nil }) { "(\($0)+\($1))" }
        #expect(sum == whole, "\(parts) parts, \(count) ranks")
      }
    }
    // Powers of two have one sum a rank, so that nothing is sent twice.
    let tree = SumTree(parts: 16)
    for count in [1, 2, 4, 8, 16] {
      for rank in 0..<count { #expect(tree.nodes(within: tree.share(ofRank: rank, of: count)).count == 1) }
    }
  }
}
