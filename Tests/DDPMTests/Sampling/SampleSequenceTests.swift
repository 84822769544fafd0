import CPUBackend
import DDPM
import Diffusion
import Files
import TestSupport
import Testing
import Threads

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Samples as they are drawn: a sampler and a schedule of one's own, one batch at a time, cancelled, into a folder.
@Suite struct SampleSequenceTests {
  private let backend = CPUBackend(CPUBackend.Options(threads: 1))

  /// A sampler that a user wrote, on β that a user chose: x_s = √ᾱ_s x̂_0 + √(1−ᾱ_s) ε̂.
  private struct Deterministic: Sampler {
    mutating func step(
      _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
    ) throws -> StepResult {
      let s = context.transition.to
      let denoised = try context.denoise(xt, at: context.transition.from)
      let x = context.schedule.sqrtᾱ[s] * denoised.x0 + context.schedule.sqrtOneMinusᾱ[s] * denoised.ε
      return StepResult(x: x, x0: denoised.x0)
    }
  }

  @Test func samplersAndSchedulesOfOnesOwn() async throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(), on: backend)
    let betas = (1...20).map { 0.004 * Double($0) }
    let process = try ReverseProcess(schedule: NoiseSchedule(betas: betas), variance: .fixedSmall)
    let timesteps: [Timestep] = [20, 13, 5, 2]
    var request = SamplingRequest(count: 5)
    (request.batchSize, request.seed) = (2, 6)
    request.plan = SamplingPlan(process: process, sampler: Deterministic(), timesteps: timesteps)
    let found = try await draw(model, request)
    #expect(found.map(\.range) == [0..<2, 2..<4, 4..<5])

    // DDIM is the same rule.
    var noise = CounterNoise(seed: 6)
    let expected = try DDIM().sample(
      shape: .init(5, 1, 16, 16), timesteps: timesteps, process: process, denoiser: model.denoiser(batchSize: 5),
      noise: &noise)
    let error = (found.final - expected).scalars.map(abs).max() ?? .infinity
    #expect(error < 1e-5, "\(error)")
    // And another schedule gives other images.
    request.plan = SamplingPlan(process: try model.process(), sampler: Deterministic(), timesteps: timesteps)
    let others = try await draw(model, request).final
    #expect(((others - found.final).scalars.map(abs).max() ?? 0) > 1e-3)
  }

  /// What is missing is drawn from its own part of the noise, be it recorded or counted, and under its own class.
  @Test(arguments: [false, true]) func partsAreOfTheWhole(recorded: Bool) async throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(), on: backend)
    var request = SamplingRequest(samples: 3..<10)
    request.batchSize = 3
    request.plan = try model.plan(.ddpm, steps: 4)
    request.recordsNoise = true
    if recorded {
      request.seed = 9
      let other = try await draw(model, request)
      request.initialNoise = Images(joining: other.compactMap(\.initialNoise))
      request.stepNoise = other[0].stepNoise.indices.map { step in Images(joining: other.map { $0.stepNoise[step] }) }
      request.seed = 0
    }
    let whole = try await draw(model, request)
    request.parts = [4..<5, 6..<10]
    #expect(request.count == 5)
    let parts = try await draw(model, request)
    #expect(parts.map(\.range) == [4..<5, 6..<9, 9..<10])
    #expect(parts.final == Images(joining: [whole.final.samples(1..<2), whole.final.samples(3..<7)]))
    #expect(parts.pictures == [whole.pictures[1]] + whole.pictures[3..<7])
    #expect(
      Images(joining: parts.compactMap(\.initialNoise)).samples(0..<1)
        == Images(joining: whole.compactMap(\.initialNoise)).samples(1..<2))
    // Progress counts what is drawn.
    var last: SamplingStep?
    for try await event in try model.sample(request) { if case .step(let step) = event { last = step } }
    #expect(last?.done == 12 && last?.total == 12)

    request.parts = []
    #expect(try await draw(model, request).isEmpty)
    for part in [2..<4, 9..<11, 5..<5, 20..<22] {
      request.parts = [part]
      #expect(throws: SamplingError.part(part, of: 3..<10)) { try model.sample(request) }
    }
  }

  /// A folder that was begun with other noise, or another model, is another folder.
  @Test func noiseAndModelsAreToldApart() throws {
    let noise = Images(repeating: 0.5, shape: .init(2, 1, 16, 16))
    var scalars = noise.scalars
    scalars[511] = 0.25
    let other = Images(shape: noise.shape, scalars: scalars)
    #expect(NoiseFile.fingerprint([noise]) == NoiseFile.fingerprint([noise]))
    #expect(NoiseFile.fingerprint([noise]) != NoiseFile.fingerprint([other]))
    #expect(NoiseFile.fingerprint([noise, other]) != NoiseFile.fingerprint([other, noise]))

    let folder = try EvaluationFolder()
    let url = try folder.model()
    let fingerprint = try Model(url, on: backend).fingerprint()
    #expect(try Model(url, on: backend).fingerprint() == fingerprint)
    // The same weights under another schedule draw other images.
    let scheduler = url.appending(path: "scheduler/scheduler_config.json")
    var object = try #require(JSONValue(parsing: FileBytes.read(scheduler.path, limit: 1 << 20)).object)
    object["beta_end"] = 0.03
    try AtomicFile.write(JSONValue.object(object).canonicalText, to: scheduler)
    let model = try Model(url, on: backend)
    #expect(try model.fingerprint() != fingerprint)
    // The files are read once.
    let changed = try model.fingerprint()
    try FileManager.default.removeItem(at: url)
    #expect(try model.fingerprint() == changed)
  }

  /// What is said of memory grows with what is held: a batch, two networks, recorded noise.
  @Test func memoryIsKnownBeforeTheFirstStep() throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(), on: backend)
    var request = SamplingRequest(count: 64)
    request.batchSize = 4
    let small = try model.sample(request)
    #expect(small.memoryPlan == small.denoiser.executable.memoryPlan)
    request.batchSize = 32
    let large = try model.sample(request)
    #expect(large.memoryPlan.activations > 4 * small.memoryPlan.activations)
    #expect(large.hostMemory - small.hostMemory == 16 * 28 * 16 * 16 * 4)
    request.initialNoise = Images(repeating: 0, shape: .init(64, 1, 16, 16))
    #expect(try model.sample(request).hostMemory - large.hostMemory == 64 * 16 * 16 * 4)
    // A weaker model has states of its own.
    request.initialNoise = nil
    request.weaker = try Model(folder.model(), on: backend)
    request.guidance = Guidance(scale: 2)
    let both = try model.sample(request).memoryPlan
    #expect(both.total == 2 * large.memoryPlan.total && both.states == 2 * large.memoryPlan.states)
  }

  /// Counts the steps that were taken and the chains that are alive.
  private final class Watch: Sendable {
    struct Counts { var steps = 0, begun = 0, alive = 0, mostAlive = 0 }
    let counts = Monitor(Counts())
    let onStep: @Sendable (Int) -> Void

    init(onStep: @escaping @Sendable (Int) -> Void = { _ in }) { self.onStep = onStep }

    func stepped() {
      onStep(
        counts.change {
          $0.steps += 1; return $0.steps
        })
    }
  }

  /// Alive as long as the chain that holds it.
  private final class Life: Sendable {
    let watch: Watch

    init(_ watch: Watch) {
      self.watch = watch
      watch.counts.change {
        $0.begun += 1
        $0.alive += 1
        $0.mostAlive = max($0.mostAlive, $0.alive)
      }
    }

    deinit { watch.counts.change { $0.alive -= 1 } }
  }

  private struct Watched: Sampler {
    let watch: Watch
    private var life: Life?
    private var sampler = DDIM()

    init(_ watch: Watch) { self.watch = watch }

    mutating func step(
      _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
    ) throws -> StepResult {
      if life == nil { life = Life(watch) }
      defer { watch.stepped() }
      return try sampler.step(xt, &context)
    }
  }

  private func request(_ model: Model, _ watch: Watch, count: Int, steps: Int) throws -> SamplingRequest {
    var request = SamplingRequest(count: count)
    request.batchSize = 2
    var plan = try model.plan(.ddim, steps: steps)
    plan.sampler = Watched(watch)
    request.plan = plan
    return request
  }

  /// However many samples are asked for, one batch is held; and none is computed that nobody asks for.
  @Test func oneBatchAtATime() async throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(), on: backend)
    let watch = Watch()
    let sequence = try model.sample(request(model, watch, count: 24, steps: 2))
    #expect(watch.counts.current.steps == 0)
    var events = 0
    var iterator: SampleSequence.Iterator? = sequence.makeAsyncIterator()
    while let event = try await iterator?.next() {
      events += 1
      // step, step, samples, step, …
      switch event {
      case .step(let step):
        #expect(step.done == watch.counts.current.steps && step.total == 24)
        #expect(step.samples == (events - 1) / 3 * 2..<(events - 1) / 3 * 2 + 2)
      case .samples(let samples):
        #expect(samples.range == events / 3 * 2 - 2..<events / 3 * 2)
        #expect(watch.counts.current.steps == events / 3 * 2)
        #expect(watch.counts.current.alive <= 1)
      }
    }
    iterator = nil
    let counts = watch.counts.current
    #expect(events == 36 && counts.steps == 24 && counts.begun == 12)
    #expect(counts.mostAlive == 1 && counts.alive == 0, "\(counts)")
  }

  /// A cancelled task takes no further step: the one on its way is the last.
  @Test(arguments: [1, 4, 7]) func cancellingStopsWithinAStep(at last: Int) async throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(), on: backend)
    let (started, start) = AsyncStream<Void>.makeStream()
    let task = Monitor<Task<Int, any Error>?>(nil)
    let watch = Watch { if $0 == last { task.change { $0?.cancel() } } }
    let request = try request(model, watch, count: 8, steps: 5)
    let drawing = Task {
      for await _ in started { break }
      return try await draw(model, request).count
    }
    task.change { $0 = drawing }
    start.finish()
    await #expect(throws: CancellationError.self) { try await drawing.value }
    #expect(watch.counts.current.steps == last)
    #expect(watch.counts.current.alive == 0)
  }

  /// Images are measured until the task is cancelled.
  @Test func cancellingStopsAMeasurement() async throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(), on: backend)
    let (started, start) = AsyncStream<Void>.makeStream()
    let task = Monitor<Task<BoundStatistics, any Error>?>(nil)
    let asked = Monitor(0)
    let drawing = Task {
      for await _ in started { break }
      return try await model.bound(of: 50, batchSize: 10) { i in
        if i == 3 { task.change { $0?.cancel() } }
        asked.change { $0 = max($0, i) }
        return EvaluationImage(x0: Images(repeating: 0.5, shape: .init(1, 1, 16, 16)))
      }
    }
    task.change { $0 = drawing }
    start.finish()
    await #expect(throws: CancellationError.self) { try await drawing.value }
    // An image has 20 terms, two batches.
    #expect(asked.current == 3)
  }

  // MARK: Folders

  /// What is in a folder is not drawn again, and what is drawn is what would have been.
  @Test func foldersGoOnWhereTheyWere() async throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(), on: backend)
    let url = folder.url.appending(path: "drawn")
    let identity: [String: JSONValue] = ["seed": 1, "sampler": "ddim"]
    var request = SamplingRequest(count: 7)
    (request.batchSize, request.seed) = (3, 1)
    request.plan = try model.plan(.ddim, steps: 2)
    func fill(_ range: Range<Int>) async throws -> Int {
      let samples = try SampleFolder(url, identity: identity)
      var drawn = 0
      for part in samples.missing(in: range) {
        var request = request
        request.samples = part
        for batch in try await draw(model, request) {
          try samples.write(batch)
          drawn += batch.range.count
        }
      }
      return drawn
    }
    func contents() throws -> [String: [UInt8]] {
      let found = try names(in: url).filter { $0.hasSuffix(".png") }
      return Dictionary(
        uniqueKeysWithValues: try found.map { ($0, try FileBytes.read(url.appending(path: $0).path, limit: 1 << 20)) })
    }
    #expect(try await fill(0..<7) == 7)
    let whole = try contents()
    #expect(whole.keys.sorted() == (0..<7).map { "0000\($0).png" })
    #expect(Set(whole.values).count == 7)
    #expect(try await fill(0..<7) == 0)

    for name in ["00002.png", "00004.png", "00005.png"] {
      try FileManager.default.removeItem(at: url.appending(path: name))
    }
    #expect(try SampleFolder(url, identity: identity).missing(in: 0..<7) == [2..<3, 4..<6])
    #expect(try SampleFolder(url, identity: identity).missing(in: 5..<9) == [5..<6, 7..<9])
    #expect(try await fill(0..<7) == 3)
    #expect(try contents() == whole)
    // More of the same series.
    #expect(try await fill(0..<9) == 2)
  }

  @Test func foldersOfAnotherRequestAreRefused() throws {
    let folder = try EvaluationFolder()
    let url = folder.url.appending(path: "drawn")
    _ = try SampleFolder(url, identity: ["seed": 1, "sampler": "ddim"])
    _ = try SampleFolder(url, identity: ["sampler": "ddim", "seed": 1])
    #expect(throws: SampleFolderError.other(url.path, key: "seed", found: "1", wanted: "2")) {
      try SampleFolder(url, identity: ["seed": 2, "sampler": "ddim"])
    }
    #expect(throws: SampleFolderError.other(url.path, key: "classes", found: "null", wanted: "\"a\"")) {
      try SampleFolder(url, identity: ["seed": 1, "sampler": "ddim", "classes": "a"])
    }
    // Nobody else fills it at the same time.
    let held = try SampleFolder(url, identity: ["seed": 1])
    #expect { try SampleFolder(url, identity: ["seed": 1]) } throws: { "\($0)".contains("in use by process") }
    withExtendedLifetime(held) {}
  }

  @Test func foldersThatCannotBeTrustedAreRefused() throws {
    let folder = try EvaluationFolder()
    let url = folder.url.appending(path: "drawn")
    _ = try SampleFolder(url, identity: ["seed": 1])
    // A damaged record belongs to no request.
    try AtomicFile.write("{", to: url.appending(path: ".ddpm-samples.json"))
    #expect(throws: SampleFolderError.self) { try SampleFolder(url, identity: ["seed": 1]) }
    // Where a file is, no folder can be.
    let file = folder.url.appending(path: "file")
    try AtomicFile.write("", to: file)
    #expect(throws: FileError.self) { try SampleFolder(file, identity: [:]) }
  }
}
