import CPUBackend
import DDPM
import Datasets
import Diffusers
import Diffusion
import Networks
import TensorGraph
import Testing

/// A model that is opened once and asked often.
@Suite struct ModelTests {
  private static let cpu = CPUBackend(CPUBackend.Options(threads: 1))

  private func request(_ model: Model, seed: UInt64, count: Int, batchSize: Int, steps: Int = 3) throws
    -> SamplingRequest
  {
    var request = SamplingRequest(count: count)
    (request.seed, request.batchSize) = (seed, batchSize)
    request.plan = try model.plan(.ddpm, steps: steps)
    return request
  }

  /// What several tasks draw from one model at the same time is what each would draw alone.
  @Test(arguments: [cpu, ReferenceBackend()] as [any Backend])
  func tasksShareAModel(backend: any Backend) async throws {
    let folder = try EvaluationFolder()
    let url = try folder.model(classes: 3)
    let shared = try Model(url, on: backend)
    let requests = try [(1, 4, 2), (2, 4, 2), (1, 3, 3), (5, 2, 1)].map {
      try request(shared, seed: $0.0, count: $0.1, batchSize: $0.2)
    }
    var alone: [Images] = []
    for request in requests { alone.append(try await draw(Model(url, on: backend), request).final) }
    #expect(alone[0] != alone[1])

    let together = try await withThrowingTaskGroup(of: (Int, Images).self) { group in
      for (i, request) in requests.enumerated() {
        group.addTask { (i, try await draw(shared, request).final) }
      }
      return try await group.reduce(into: [Int: Images]()) { $0[$1.0] = $1.1 }
    }
    for (i, images) in alone.enumerated() { #expect(together[i] == images, "request \(i)") }
  }

  /// A request is drawn as often as one likes, each time from the start.
  @Test func drawnTwice() async throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(), on: Self.cpu)
    let request = try request(model, seed: 4, count: 3, batchSize: 2)
    let sequence = try model.sample(request)
    var draws: [[Images]] = []
    for _ in 0..<2 {
      var finals: [Images] = []
      for try await event in sequence { if case .samples(let samples) = event { finals.append(samples.final) } }
      draws.append(finals)
    }
    #expect(draws[0].map(\.shape.count) == [2, 1])
    #expect(draws[0] == draws[1])
    #expect(try model.denoiser(batchSize: 2) === model.denoiser(batchSize: 2, size: .init(height: 16, width: 16)))
  }

  /// `predict` is the network, whatever the batch, and `bound` is `BoundRun`.
  @Test func predictsAndMeasures() async throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(), on: Self.cpu)
    let xt = CounterNoise(seed: 1).initialNoise(shape: .init(3, 1, 16, 16))
    let t: [Timestep] = [1, 10, 20]
    let output = try await model.predict(xt, at: t)
    #expect(output == (try model.denoiser(batchSize: 2).predict(xt, at: t)))
    #expect(output[sample: 1] == (try await model.predict(xt[sample: 1], at: [10])))

    let data = try model.openData("glyphs", split: .test)
    let found = try await model.bound(of: 2, seed: 3, batchSize: 5) { try data.evaluationImage($0, classes: nil) }
    var expected = BoundStatistics(T: 20)
    try BoundRun(
      VariationalBound(model.process()), denoiser: model.denoiser(batchSize: 5), seed: 3, batchSize: 5)(
        &expected, upTo: 2, image: { try data.evaluationImage($0, classes: nil) })
    #expect(found == expected && found.images.count == 2)
  }

  /// A batch whose intermediate results no cache holds is computed in parts, with the same results; two batches of the same parts share them.
  @Test func largeBatchesAreCut() throws {
    let folder = try EvaluationFolder()
    let url = try folder.model()
    let model = try Model(url, on: Self.cpu)
    let denoiser = try model.denoiser(batchSize: 2048)
    #expect(denoiser.batchSize < 2048 && 2048 % denoiser.batchSize == 0)
    #expect(denoiser.executable.memoryPlan.activations <= 8 << 20)
    #expect(try denoiser === model.denoiser(batchSize: 1024))
    let count = denoiser.batchSize + 3
    let xt = CounterNoise(seed: 1).initialNoise(shape: .init(count, 1, 16, 16))
    let t = (0..<count).map { Timestep(1 + $0 % 20) }
    let output = try denoiser.predict(xt, at: t)
    for samples in [0..<2, count - 5..<count] {
      #expect(
        output.samples(samples)
          == (try model.denoiser(batchSize: 5).predict(xt.samples(samples), at: Array(t[samples]))))
    }
    // Elsewhere the larger the better.
    #expect(try Model(url, on: ReferenceBackend()).denoiser(batchSize: 2048).batchSize == 2048)
  }

  /// Inverted and drawn again by DDIM, images are what they were.
  @Test func invertsItsOwnDraws() async throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(scheduler: ["clip_sample": false]), on: Self.cpu)
    var request = try request(model, seed: 9, count: 2, batchSize: 2)
    request.plan = try model.plan(.ddim, steps: 20)
    let x0 = try await draw(model, request).final
    let xT = try await model.invert(x0)
    request.initialNoise = xT
    let again = try await draw(model, request).final
    let error = (again - x0).scalars.map(abs).max() ?? .infinity
    #expect(error < 1e-2 && error < 0.01 * (x0.scalars.map(abs).max() ?? 0), "\(error)")
  }

  // MARK: Conditions

  /// A model that asks for a class is never told one in silence.
  @Test func aConditionIsAskedFor() async throws {
    let (folder, other) = (try EvaluationFolder(), try EvaluationFolder())
    let model = try Model(folder.model(classes: 5), on: Self.cpu)
    let xt = CounterNoise(seed: 1).initialNoise(shape: .init(2, 1, 16, 16))
    let t: [Timestep] = [3, 7]
    let cases: [(Condition, SamplingError)] = [
      (.none, .classMissing(classes: 5)), (.classes([0, nil]), .noNullClass),
      (.classes([0, 5]), .label(5, classes: 5)),
      (.classes([-1, 0]), .label(-1, classes: 5)), (.classes([1]), .classCount(1, samples: 2)),
      (Condition(classes: [0, 1], pictures: xt), .noPictures),
    ]
    for (condition, error) in cases {
      await #expect(throws: error) { try await model.predict(xt, at: t, given: condition) }
      #expect(throws: error) { try model.denoiser(batchSize: 2).predict(xt, at: t, given: condition) }
    }
    await #expect(throws: SamplingError.timestepCount(1, samples: 2)) {
      try await model.predict(xt, at: [3], given: .classes([0, 1]))
    }
    let plain = try Model(other.model(), on: Self.cpu)
    await #expect(throws: SamplingError.noClasses) { try await plain.predict(xt, at: t, given: .classes([0, 0])) }

    // A request says so before anything is drawn.
    var request = try request(model, seed: 0, count: 2, batchSize: 2)
    for (condition, error) in [
      (Condition.none, SamplingError.classMissing(classes: 5)), (.classes([nil]), .noNullClass),
    ] {
      request.condition = { _ in condition }
      #expect(throws: error) { try model.sample(request) }
    }
  }

  /// The last row of the table is the null class where one was trained, and no class that can be asked for.
  @Test func theNullClassIsARowOfItsOwn() async throws {
    let (folder, other) = (try EvaluationFolder(), try EvaluationFolder())
    var card = ModelCard()
    card.nullClass = 4
    let model = try Model(folder.model(classes: 5, card: card), on: Self.cpu)
    #expect(model.classCount == 4)
    let xt = CounterNoise(seed: 1).initialNoise(shape: .init(2, 1, 16, 16))
    let t: [Timestep] = [3, 3]
    let free = try await model.predict(xt, at: t, given: .classes([nil, nil]))
    await #expect(throws: SamplingError.label(4, classes: 4)) {
      try await model.predict(xt, at: t, given: .classes([4, 4]))
    }
    // Without the card the same row is a class like others.
    let bare = try Model(other.model(classes: 5), on: Self.cpu)
    #expect(try await bare.predict(xt, at: t, given: .classes([4, 4])) == free)
    for label in 0..<4 { #expect(try await model.predict(xt, at: t, given: .classes([label, label])) != free) }

    // Where nothing is asked for, each class in turn, and never the null one.
    let request = try request(model, seed: 2, count: 6, batchSize: 6)
    var turns = request
    turns.condition = { .classes($0.map { $0 % 4 }) }
    var nulls = request
    nulls.condition = { .classes($0.map { _ in nil }) }
    let drawn = try await draw(model, request).final
    #expect(try await draw(model, turns).final == drawn)
    #expect(try await draw(model, nulls).final != drawn)
  }

  /// Classes go by their names where both sides have names.
  @Test func classesGoByName() throws {
    let (folder, other) = (try EvaluationFolder(), try EvaluationFolder())
    var card = ModelCard()
    card.classNames = ["a", "b", "c"]
    let model = try Model(folder.model(classes: 3, card: card), on: Self.cpu)
    let glyphs = try Dataset.open("glyphs", split: .test, imageSize: 16)
    func data(_ classes: [String]) -> Dataset {
      Dataset(Relabelled(source: glyphs.source, classes: classes.count), name: "few", format: "test", classes: classes)
    }
    #expect(try model.classNumbers(of: data(["b", "c"])) == [1, 2])
    #expect(try model.classNumbers(of: data(["c", "b", "a"])) == [2, 1, 0])
    #expect(throws: EvaluationError.unknownClass(data: "few", name: "d", known: ["a", "b", "c"])) {
      try model.classNumbers(of: data(["b", "d"]))
    }
    // Image 1 is of the data's class 1, the model's 2.
    #expect(try data(["b", "c"]).evaluationImage(1, classes: [1, 2]).condition == .classes([2]))
    #expect(try model.classNumber("b") == 1)
    #expect(throws: SamplingError.className("d", known: ["a", "b", "c"])) { try model.classNumber("d") }
    let bare = try Model(other.model(classes: 3), on: Self.cpu)
    #expect(try bare.classNumbers(of: data(["b", "c"])) == [0, 1])
  }
}

/// Images whose class is their number.
private struct Relabelled: ImageSource {
  let source: any ImageSource
  let classes: Int
  var count: Int { source.count }
  var shape: ImageShape { source.shape }
  func load(_ index: Int) throws -> Example {
    Example(pixels: try source.load(index).pixels, label: Int32(index % classes))
  }
}
