import CPUBackend
import DDPM
import Datasets
import Diffusion
import Files
import Networks
import Pictures
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The evaluation of a network on data, with files.
@Suite(.serialized) struct EvaluationRunTests {
  private let backend = CPUBackend(CPUBackend.Options())
  private struct Stop: Error {}

  private func size(of data: Dataset) -> SampleSize { .init(height: data.shape.height, width: data.shape.width) }

  private func subject(
    _ process: ReverseProcess, _ data: Dataset, timesteps: Int, seed: UInt64 = 0
  ) -> EvaluationSubject {
    EvaluationSubject(
      model: "model", data: data.name, split: data.split, variance: process.variance,
      limit: process.limit, seed: seed, timesteps: timesteps, T: process.schedule.T)
  }

  /// A report says what limited x̂_0, so that it could be measured again.
  @Test func reportsSayWhatWasLimited() throws {
    let data = try Dataset.open("glyphs", options: .init(imageSize: 16))
    func limit(_ limit: X0Limit) throws -> JSONValue? {
      let process = try ReverseProcess(schedule: NoiseSchedule(T: 20), variance: .fixedSmall, limit: limit)
      return subject(process, data, timesteps: 20).json["x0_limit"]
    }
    #expect(try limit(.none) == .null)
    #expect(try limit(.clip(2)) == .object(["clip_sample_range": 2.0]))
    #expect(
      try limit(.dynamic(ratio: 0.9, maximum: 3))
        == .object(["dynamic_thresholding_ratio": 0.9, "sample_max_value": 3.0]))
  }

  @Test(arguments: [nil, 6]) func resultDoesNotDependOnBatchSize(timesteps: Int?) throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(), on: backend)
    let process = try model.process(variance: .fixedSmall, limit: .clip())
    let data = try model.openData("glyphs", split: .test)
    #expect(data.shape == ImageShape(channels: 1, height: 16, width: 16))
    let results = try [1, 7, 32].map { batchSize in
      let denoiser = try model.denoiser(batchSize: batchSize, size: size(of: data))
      var statistics = BoundStatistics(T: 20)
      try BoundRun(
        VariationalBound(process), denoiser: denoiser, visits: TimestepVisits(T: 20, count: timesteps), seed: 8,
        batchSize: batchSize)(&statistics, upTo: 5) { try data.evaluationImage($0, classes: nil) }
      return statistics
    }
    for other in results.dropFirst() {
      #expect(other.images.count == 5 && results[0].images.count == 5)
      for (a, b) in zip(results[0].images, other.images) {
        #expect(abs(a.total / b.total - 1) < 1e-5)
        #expect(a.prior == b.prior)
      }
      #expect(other.visited == results[0].visited)
    }
  }

  /// Classes reach the network with their images, wherever those stand in a batch; other classes give other numbers.
  @Test func classesFollowTheirImages() throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(classes: 62), on: backend)
    let process = try model.process(limit: .clip())
    let data = try model.openData("glyphs", split: .test)
    let classes = try #require(try model.classNumbers(of: data))
    func totals(batchSize: Int, label: @escaping (Int) -> Int = { $0 }) throws -> [Double] {
      let denoiser = try model.denoiser(batchSize: batchSize, size: size(of: data))
      var statistics = BoundStatistics(T: 20)
      try BoundRun(VariationalBound(process), denoiser: denoiser, seed: 8, batchSize: batchSize)(
        &statistics, upTo: 4
      ) {
        let image = try data.evaluationImage($0, classes: classes)
        return EvaluationImage(x0: image.x0, given: .classes(image.condition.classes?.map { $0.map(label) } ?? []))
      }
      return statistics.images.map(\.total)
    }
    let (few, many) = (try totals(batchSize: 3), try totals(batchSize: 16))
    let others = try totals(batchSize: 16) { ($0 + 1) % 62 }
    #expect(few.count == 4 && many.count == 4 && others.count == 4)
    for (a, b) in zip(few, many) { #expect(abs(a / b - 1) < 1e-5) }
    for (a, b) in zip(others, many) { #expect(abs(a / b - 1) > 1e-4, "\(a) and \(b)") }
  }

  /// Stopped anywhere and resumed from the file, the numbers are the same to the last bit.
  @Test(arguments: [1, 3, 50]) func resumedEqualsUninterrupted(stopAfter batches: Int) throws {
    let folder = try EvaluationFolder()
    let file = folder.url.appending(path: "state")
    let source = GaussianOptimum(schedule: try NoiseSchedule(T: 30, rescaled: true))
    let run = try BoundRun(source.bound(), denoiser: source, seed: 6, batchSize: 11)
    var whole = BoundStatistics(T: 30)
    try run(&whole, upTo: 20, image: source.image)

    let identity: [String: JSONValue] = ["seed": 6, "weights": "crc32c:0"]
    var part = BoundStatistics(T: 30)
    var done = 0
    #expect(throws: Stop.self) {
      try run(&part, upTo: 20, image: source.image) { _, _, statistics in
        done += 1
        if done == batches { throw Stop() }
      }
    }
    #expect(part.images.count == batches * 11 / 30)
    try EvaluationState(identity: identity, statistics: part).write(to: file)
    var resumed = try EvaluationState(reading: file, expecting: identity, T: 30).statistics
    #expect(resumed == part)
    try run(&resumed, upTo: 20, image: source.image)
    #expect(resumed == whole)

    #expect(throws: EvaluationError.otherState(file.path, key: "seed", found: "6", wanted: "7")) {
      try EvaluationState(reading: file, expecting: ["seed": 7, "weights": "crc32c:0"], T: 30)
    }
    // Of fewer or more timesteps than the model has.
    for T in [29, 31] {
      #expect(throws: EvaluationError.damagedState(file.path, "it is of 30 timesteps, not \(T)")) {
        try EvaluationState(reading: file, expecting: identity, T: T)
      }
    }
  }

  @Test(arguments: [
    "", "{}", "[1]", #"{"format": "ddpm-evaluation-1", "identity": {}, "images": [[1]], "timesteps": []}"#,
    #"{"format": "ddpm-evaluation-1", "identity": {}, "images": [], "timesteps": [[-1,0,0,0,0,0,0,0,0]]}"#,
  ])
  func damagedStatesAreNamed(_ text: String) throws {
    let folder = try EvaluationFolder()
    let file = folder.url.appending(path: "state")
    try AtomicFile.write(text, to: file)
    #expect {
      try EvaluationState(reading: file, expecting: [:], T: 1)
    } throws: {
      "\($0)".hasPrefix(file.path)
    }
  }

  @Test func reportsHaveTheirKeys() throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(), on: backend)
    let process = try model.process(variance: .fixedSmall, limit: .clip())
    let data = try model.openData("glyphs", split: .test)
    let denoiser = try model.denoiser(batchSize: 20, size: size(of: data))
    var statistics = BoundStatistics(T: 20)
    try BoundRun(VariationalBound(process), denoiser: denoiser, seed: 1, batchSize: 20)(
      &statistics, upTo: 3, image: { try data.evaluationImage($0, classes: nil) })

    let report = LikelihoodReport(subject(process, data, timesteps: 20), statistics)
    let file = folder.url.appending(path: "bound.json")
    try report.writeJSON(to: file, seconds: 1.5, batchSize: 20)
    let object = try #require(JSONValue(parsing: FileBytes.read(file.path, limit: 1 << 30)).object)
    for key in ["bits_per_dim", "prior", "diffusion", "reconstruction"] {
      #expect(object[key]?.double?.isFinite == true, "\(key)")
      #expect(object[key + "_standard_error"]?.double ?? -1 >= 0, "\(key)")
      #expect(object[key + "_confidence_95"]?.array?.count == 2, "\(key)")
    }
    let sum = ["prior", "diffusion", "reconstruction"].reduce(0) { $0 + (object[$1]?.double ?? .nan) }
    #expect(abs(sum - (object["bits_per_dim"]?.double ?? 0)) < 1e-12)
    #expect(object["images"]?.integer == 3)
    #expect(object["split"]?.string == "test")
    #expect(object["variance"]?.string == "fixed_small")
    #expect(object["seed"]?.integer == 0)
    #expect(object["timesteps"]?.integer == 20)
    #expect(object["is_estimate"]?.bool == false)
    #expect(object["per_timestep"]?.object?["epsilon_mse"]?.array?.count == 20)
    #expect(object["per_image"]?.object?["bits_per_dim"]?.array?.count == 3)

    let curve = RateDistortionReport(subject(process, data, timesteps: 20), statistics)
    let points = try #require(curve.json.object?["per_timestep"]?.object)
    for key in ["t", "reverse_steps", "rate", "rmse", "rate_standard_error", "rmse_standard_error"] {
      #expect(points[key]?.array?.count == 20, "\(key)")
    }
    for plot in [report.plot, curve.plot] {
      try plot.write(to: folder.url.appending(path: "plot.svg"))
      try plot.write(to: folder.url.appending(path: "plot.png"))
      let picture = try Image8(contentsOf: folder.url.appending(path: "plot.png"))
      #expect(picture.width == plot.plots.reduce(0) { $0 + 2 * $1.width })
      let svg = plot.svg()
      #expect(svg.split(separator: "<svg").count == plot.plots.count + 1)
      #expect(plot.plots.allSatisfy { svg.contains("(bits/dim)") && svg.contains($0.title) })
    }
  }

  /// One image has no standard error, and JSON no NaN.
  @Test func oneImageHasNoError() throws {
    let source = GaussianOptimum(schedule: try NoiseSchedule(.linear(from: 0.01, to: 0.5), T: 5))
    var statistics = BoundStatistics(T: 5)
    try BoundRun(source.bound(), denoiser: source, seed: 0, batchSize: 5)(&statistics, upTo: 1, image: source.image)
    let subject = EvaluationSubject(
      model: "m", data: "d", split: nil, variance: .learned, limit: .none, seed: .max, timesteps: 5, T: 5)
    let object = try #require(LikelihoodReport(subject, statistics).json.object)
    #expect(object["bits_per_dim_standard_error"] == .null)
    #expect(object["bits_per_dim_confidence_95"] == .null)
    #expect(object["split"]?.string == "all")
    #expect(object["seed"]?.string == "18446744073709551615")
  }

  /// A model that asks for classes is not told class 0 of images without labels, nor classes that it does not know.
  @Test(arguments: [(nil, 0, true), (nil, 62, true), (10, 0, false), (10, 3, true), (10, 10, true), (10, 11, false)])
  func labelsAreClassesOfTheModel(known: Int?, found: Int, fits: Bool) throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(classes: known), on: backend)
    let data = Dataset(
      try Dataset.open("glyphs", split: .test, imageSize: 16).source, name: "few", format: "glyphs",
      classes: (0..<found).map(String.init))
    if fits {
      #expect(try model.classNumbers(of: data) == known.map { _ in Array(0..<found) })
    } else {
      #expect(throws: EvaluationError.classes(data: "few", found: found, known: known ?? 0)) {
        try model.classNumbers(of: data)
      }
    }
  }

  @Test func aVarianceThatDoesNotFitIsRefused() throws {
    let folder = try EvaluationFolder()
    #expect(throws: SamplingError.self) {
      try Model(folder.model(), on: backend).process(variance: .learnedRange)
    }
    // Neither as many channels out as in, nor twice as many.
    let url = try folder.model(channels: (3, 9))
    #expect(throws: SamplingError.variance("fixed_large", channels: 3, outChannels: 9)) {
      try Model(url, on: backend)
    }
  }
}
