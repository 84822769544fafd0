import Diffusion
import TestSupport
import Testing

@Suite struct GuidanceTests {
  let schedule: NoiseSchedule

  init() throws { schedule = try NoiseSchedule() }

  /// What a denoiser was asked.
  private final class Log {
    var calls: [(count: Int, t: [Timestep], classes: [Int?]?)] = []
  }

  /// The mixture's denoiser, watched.
  private func watched(_ data: ClassMixture, _ log: Log) -> DenoiserFunction {
    DenoiserFunction { xt, t, condition in
      log.calls.append((xt.shape.count, t, condition.classes))
      return data.predict(xt, at: t, given: condition)
    }
  }

  struct Golden: Decodable {
    struct Case: Decodable { let scale, rescale: Double, guided: [Double] }
    let conditional, unconditional: [Float]
    let cases: [Case]
  }

  /// diffusers' formulas, by numpy.
  @Test func formulasMatchDiffusers() throws {
    let golden: Golden = try golden("guidance.json")
    let shape = Images.Shape(3, 2, 3, 3)
    let (c, u) = (
      Images(shape: shape, scalars: golden.conditional), Images(shape: shape, scalars: golden.unconditional)
    )
    // x_t says which sample it is.
    let xt = Images(joining: (0..<3).map { Images(repeating: Float($0), shape: .init(1, 2, 3, 3)) })
    let network = DenoiserFunction { x, _, condition in
      Images(
        joining: (0..<x.shape.count).map { n in
          (condition.classes?[n] == nil ? u : c)[sample: Int(x.scalars[x.range(ofSample: n).lowerBound])]
        })
    }
    for test in golden.cases {
      let guided = Guided(network, by: .init(scale: test.scale, rescale: test.rescale), schedule: schedule)
      let output = try guided.predict(xt, at: [10, 500, 1000], given: .classes([0, 1, 2]))
      expect(relativeL2(output.doubles, test.guided), atMost: 3e-7, "guidance \(test.scale), rescale \(test.rescale)")
    }
    #expect(golden.cases.count == 20)
  }

  /// Guidance of x_0, v and μ̃ is guidance of ε: all are affine in each other at fixed x_t.
  @Test(arguments: Prediction.allCases) func everyPredictionIsGuidedAlike(_ prediction: Prediction) throws {
    let shape = Images.Shape(4, 1, 2, 2)
    let xt = normals(shape, seed: 1)
    let t: [Timestep] = [2, 100, 500, 900]
    func data(_ prediction: Prediction) -> Guided<ClassMixture> {
      Guided(ClassMixture(schedule: schedule, prediction: prediction), by: .init(scale: 3), schedule: schedule)
    }
    let ε = try data(.epsilon).predict(xt, at: t, given: .classes([0, 1, 0, 1]))
    let output = try data(prediction).predict(xt, at: t, given: .classes([0, 1, 0, 1]))
    for n in t.indices {
      let found = prediction.x0(
        output[sample: n], xt: xt[sample: n], level: schedule.level(t[n]), posterior: schedule.posterior(t[n]))
      let wanted = schedule.level(t[n]).x0(epsilon: ε[sample: n], xt: xt[sample: n])
      #expect(relativeL2(found.doubles, wanted.doubles) < 1e-4, "t = \(t[n])")
    }
  }

  /// One call, in which only the samples that are guided come twice.
  @Test func bothPredictionsAreOneCall() throws {
    let xt = normals(.init(3, 1, 2, 2), seed: 1)
    let t: [Timestep] = [100, 500, 900]
    let data = ClassMixture(schedule: schedule)
    let ask = { (guidance: Guidance, classes: [Int?]) throws -> Log in
      let log = Log()
      _ = try Guided(watched(data, log), by: guidance, schedule: schedule).predict(xt, at: t, given: .classes(classes))
      #expect(log.calls.count == 1)
      return log
    }
    let all = try ask(.init(scale: 2), [1, 0, 1])
    #expect(all.calls[0].t == t + t && all.calls[0].classes == [1, 0, 1, nil, nil, nil])
    #expect(try ask(.init(scale: 1, rescale: 0.5), [1, 0, 1]).calls[0].count == 3)
    // Only the middle level lies in the interval, and a sample of any class has nothing to be guided to.
    let σ̄ = schedule.level(500).σ̄
    let middle = try ask(.init(scale: 2, interval: 0.9 * σ̄...1.1 * σ̄), [1, 0, 1])
    #expect(middle.calls[0].t == t + [500] && middle.calls[0].classes == [1, 0, 1, nil])
    #expect(try ask(.init(scale: 2, interval: 0...0.001), [1, 0, 1]).calls[0].count == 3)
    #expect(try ask(.init(scale: 2), [1, nil, 1]).calls[0].t == t + [100, 900])

    // What is not guided is the network's own.
    let guided = Guided(data, by: .init(scale: 2, interval: 0.9 * σ̄...1.1 * σ̄), schedule: schedule)
    let (output, own) = (
      try guided.predict(xt, at: t, given: .classes([1, 0, 1])), data.predict(xt, at: t, given: .classes([1, 0, 1]))
    )
    #expect(output[sample: 0] == own[sample: 0] && output[sample: 2] == own[sample: 2])
    #expect(output[sample: 1] != own[sample: 1])
  }

  @Test func imagesDoNotDependOnTheBatch() throws {
    let xt = normals(.init(5, 2, 3, 3), seed: 1)
    let t: [Timestep] = [1, 40, 500, 900, 1000]
    let classes: [Int?] = [0, 1, nil, 1, 0]
    for guidance in [Guidance(scale: 4, rescale: 0.7), Guidance(scale: 2, interval: 0.1...5)] {
      let guided = Guided(
        ClassMixture(schedule: schedule, learnsVariance: true), by: guidance, schedule: schedule)
      let together = try guided.predict(xt, at: t, given: .classes(classes))
      for n in 0..<5 {
        let alone = try guided.predict(xt[sample: n], at: [t[n]], given: .classes([classes[n]]))
        #expect(alone == together[sample: n])
      }
    }
  }

  /// A learned variance is the conditional prediction's.
  @Test func varianceIsTheConditionalOne() throws {
    let xt = normals(.init(2, 1, 2, 2), seed: 1)
    let t: [Timestep] = [50, 600]
    let data = ClassMixture(schedule: schedule, learnsVariance: true)
    let condition = Condition.classes([0, 1])
    let output = try Guided(data, by: .init(scale: 3, rescale: 0.2), schedule: schedule)
      .predict(xt, at: t, given: condition)
    let (c, none) = (
      data.predict(xt, at: t, given: condition), data.predict(xt, at: t, given: condition.withoutClasses)
    )
    #expect(output.splitChannels().1 == c.splitChannels().1)
    #expect(output.splitChannels().1 != none.splitChannels().1)
    #expect(output.splitChannels().0 != c.splitChannels().0)
  }

  /// Autoguidance: away from a weaker denoiser under the same condition.
  @Test func aWeakerDenoiserTakesTheNullsPlace() throws {
    let xt = normals(.init(2, 1, 2, 2), seed: 1)
    let t: [Timestep] = [50, 600]
    let (strong, weak) = (ClassMixture(schedule: schedule), ClassMixture(schedule: schedule, variance: 0.5))
    let (log, weakLog) = (Log(), Log())
    let guided = Guided(
      watched(strong, log), by: .init(scale: 2), schedule: schedule, weaker: watched(weak, weakLog))
    for condition in [Condition.classes([0, 1]), .none] {
      let output = try guided.predict(xt, at: t, given: condition)
      let (s, w) = (strong.predict(xt, at: t, given: condition), weak.predict(xt, at: t, given: condition))
      #expect(output == w + 2.0 * (s - w))
    }
    #expect(log.calls.map(\.count) == [2, 2] && weakLog.calls.map(\.count) == [2, 2])
  }

  /// What a network is shown beside x_t stays; only the class is dropped.
  @Test func picturesStay() throws {
    let xt = normals(.init(2, 1, 2, 2), seed: 1)
    let pictures = normals(.init(2, 1, 2, 2), seed: 2)
    let network = DenoiserFunction { _, _, condition in
      var scalars = condition.pictures?.scalars ?? []
      for (n, label) in (condition.classes ?? []).enumerated() where label == nil { scalars[4 * n] += 1 }
      return Images(shape: .init(scalars.count / 4, 1, 2, 2), scalars: scalars)
    }
    let output = try Guided(network, by: .init(scale: 2), schedule: schedule)
      .predict(xt, at: [5, 6], given: Condition(classes: [0, 1], pictures: pictures))
    #expect(output.scalars[1...3] == pictures.scalars[1...3])
    #expect(abs(output.scalars[4] - (pictures.scalars[4] - 1)) < 1e-6)
  }

  @Test func withoutClassesThereIsNothingToDrop() throws {
    let xt = normals(.init(1, 1, 2, 2), seed: 1)
    let data = ClassMixture(schedule: schedule)
    #expect(throws: GuidanceError.nothingToDrop) {
      try Guided(data, by: .init(scale: 2), schedule: schedule).predict(xt, at: [5])
    }
    #expect(throws: Never.self) { try Guided(data, by: .init(scale: 1), schedule: schedule).predict(xt, at: [5]) }
  }
}
