import CPUBackend
import DDPM
import Diffusers
import Diffusion
import TensorGraph
import Testing

/// Guidance as a request asks for it, on a small network of ten classes and none.
@Suite struct GuidanceRequestTests {
  private let backend = CPUBackend(CPUBackend.Options(threads: 1))
  private let folder: EvaluationFolder
  private let model: Model

  init() throws {
    folder = try EvaluationFolder()
    var card = ModelCard()
    card.nullClass = 10
    model = try Model(folder.model(classes: 11, card: card), on: backend)
  }

  private func request(count: Int, batchSize: Int, by guidance: Guidance?) throws -> SamplingRequest {
    var request = SamplingRequest(count: count)
    (request.batchSize, request.seed, request.guidance) = (batchSize, 3, guidance)
    request.plan = try model.plan(.ddim, steps: 4)
    return request
  }

  /// Image i is a function of (seed, i), whether its pair shares a run with others or not.
  @Test(arguments: [
    Guidance(scale: 3), Guidance(scale: 2, rescale: 0.7), Guidance(scale: 4, interval: 0.5...2), Guidance(scale: 0),
  ])
  func imagesDoNotDependOnTheBatch(_ guidance: Guidance) async throws {
    let together = try await draw(model, request(count: 5, batchSize: 5, by: guidance))
    for size in [1, 2, 3] {
      let apart = try await draw(model, request(count: 5, batchSize: size, by: guidance))
      #expect(apart.final == together.final, "batches of \(size)")
      #expect(apart.pictures == together.pictures, "batches of \(size)")
    }
    let few = try await draw(model, request(count: 2, batchSize: 2, by: guidance))
    #expect(few.final == together.final.samples(0..<2))
    let plain = try await draw(model, request(count: 5, batchSize: 5, by: nil))
    #expect(plain.final != together.final)
  }

  /// The walk's denoiser is the network, guided.
  @Test func theWalkIsGuided() async throws {
    let guidance = Guidance(scale: 3, rescale: 0.5)
    let request = try request(count: 3, batchSize: 3, by: guidance)
    let plan = try #require(request.plan)
    let schedule = plan.process.schedule
    let guided = Guided(try model.denoiser(batchSize: 3), by: guidance, schedule: schedule)
    var noise = CounterNoise(seed: 3)
    func walked(_ sampler: some Sampler) throws -> Images {
      try sampler.sample(
        shape: .init(3, 1, 16, 16), timesteps: plan.timesteps, process: plan.process, denoiser: guided,
        given: .classes([0, 1, 2]), noise: &noise)
    }
    let expected = try walked(plan.sampler)
    #expect(try await draw(model, request).final == expected)
  }

  /// One run holds both predictions: the network is compiled for twice the batch, and for no more where nothing is dropped.
  @Test func bothPredictionsAreOneRun() throws {
    #expect(try model.sample(request(count: 6, batchSize: 3, by: Guidance(scale: 2))).denoiser.batchSize == 6)
    for guidance in [nil, Guidance(scale: 1)] {
      #expect(try model.sample(request(count: 6, batchSize: 3, by: guidance)).denoiser.batchSize == 3)
    }
    var away = try request(count: 6, batchSize: 3, by: Guidance(scale: 2))
    away.weaker = model
    #expect(try model.sample(away).denoiser.batchSize == 3)
  }

  @Test(arguments: [nil, 10] as [Int?]) func aModelWithoutANullClassIsNotGuided(classes: Int?) throws {
    let other = try EvaluationFolder()
    let model = try Model(other.model(classes: classes), on: backend)
    var request = SamplingRequest(count: 1)
    request.guidance = Guidance(scale: 2)
    #expect(throws: SamplingError.noNullClass) { try model.sample(request) }
    request.guidance = Guidance(scale: 1)
    _ = try model.sample(request)
    // Another model to compare with needs no class to drop.
    request.guidance = Guidance(scale: 2)
    request.weaker = model
    _ = try model.sample(request)
  }

  /// Away from a worse model: ε̂ = ε_weak + w (ε − ε_weak).
  @Test func aWeakerModelTakesThePlaceOfNoClass() async throws {
    let other = try EvaluationFolder()
    let weaker = try Model(other.model(classes: 11, card: model.card, scaledBy: 0.5), on: backend)
    let guidance = Guidance(scale: 2)
    var request = try request(count: 2, batchSize: 2, by: guidance)
    request.weaker = weaker
    let plan = try #require(request.plan)
    let guided = Guided(
      try model.denoiser(batchSize: 2), by: guidance, schedule: plan.process.schedule,
      weaker: try weaker.denoiser(batchSize: 2))
    var noise = CounterNoise(seed: 3)
    let expected = try DDIM().sample(
      shape: .init(2, 1, 16, 16), timesteps: plan.timesteps, process: plan.process, denoiser: guided,
      given: .classes([0, 1]), noise: &noise)
    #expect(try await draw(model, request).final == expected)

    request.guidance = nil
    #expect(throws: GuidanceRequestError.weakerWithoutScale) { try model.sample(request) }
    request.guidance = guidance
    let third = try EvaluationFolder()
    request.weaker = try Model(third.model(classes: 5), on: backend)
    #expect(throws: GuidanceRequestError.self) { try model.sample(request) }
  }
}
