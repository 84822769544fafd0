import DDPM
import Datasets
import Diffusion
import Pictures
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct EvaluationPicturesTests {
  private let shape = Images.Shape(1, 1, 6, 6)

  private func paths() throws -> LatentPaths<SimpleDenoiser> {
    let process = try ReverseProcess(schedule: NoiseSchedule(T: 40, rescaled: true), limit: .none)
    return LatentPaths(process, denoiser: SimpleDenoiser(schedule: process.schedule), seed: 3)
  }

  private func image(_ value: Float) -> Images { Images(repeating: value, shape: shape) }

  private func difference(_ a: Images, _ b: Images) -> Float { (a - b).scalars.map(abs).max() ?? 0 }

  /// Each result depends on its own λ only, λ = 0 on the first image only, and the way back is the same way.
  @Test(arguments: [1, 10, 40]) func interpolationRunsFromOneToTheOther(t: Int) throws {
    let (paths, t) = (try paths(), Timestep(t))
    let (a, b) = (image(-0.5), image(0.8))
    let λ = [0, 0.25, 0.5, 0.75, 1]
    let there = try paths.interpolation(from: a, to: b, at: t, λ: λ)
    let back = try paths.interpolation(from: b, to: a, at: t, λ: λ)
    for n in λ.indices { #expect(difference(there[sample: n], back[sample: 4 - n]) < 1e-4) }
    let other = try paths.interpolation(from: a, to: image(0.1), at: t, λ: [0])
    #expect(difference(there[sample: 0], other) < 1e-5)
    let same = try paths.interpolation(from: a, to: a, at: t, λ: [0, 0.3, 1])
    #expect(difference(same[sample: 0], same[sample: 1]) < 1e-4)
    #expect(try paths.interpolation(from: a, to: b, at: t, λ: λ) == there)
    // At T nothing is left of either.
    if t < 40 { #expect(difference(there[sample: 0], there[sample: 4]) > 1e-3) }
  }

  /// Reconstructions share x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε, and differ the more the larger t is.
  @Test func reconstructionsShareTheLatent() throws {
    let paths = try paths()
    var spread: [Float] = []
    for t in [Timestep(2), 20, 40] {
      let (xt, samples) = try paths.reconstructions(of: image(0.2), at: t, count: 4)
      #expect(xt.shape.count == 1 && samples.shape.count == 4)
      let ε = CounterNoise(seed: 3).initialNoise(shape: shape)
      #expect(xt == ForwardProcess(paths.process.schedule).noised(image(0.2), at: t, epsilon: ε))
      spread.append(difference(samples[sample: 0], samples[sample: 3]))
    }
    #expect(spread[0] > 0 && spread[0] < spread[1])
    let first = try paths.reconstructions(of: image(0.2), at: 1, count: 3).samples
    // The last step adds no noise.
    #expect(first[sample: 0] == first[sample: 2])
  }

  @Test func eachHalfOfAPathIsOfOneClass() {
    let labels = LatentPaths<SimpleDenoiser>.labels([0, 0.25, 0.49, 0.5, 0.75, 1], from: 3, to: 8)
    #expect(labels == [3, 3, 3, 8, 8, 8])
  }

  @Test func aPathThatIsNoNumberStops() throws {
    let process = try paths().process
    let broken = LatentPaths(process, denoiser: DenoiserFunction { x, _ in .nan * x }, seed: 3)
    #expect(throws: SamplingError.notFinite(step: 1, of: 10, t: 10)) {
      try broken.interpolation(from: image(0), to: image(1), at: 10, λ: [0, 1])
    }
    #expect(throws: SamplingError.notFinite(step: 1, of: 4, t: 4)) {
      try broken.reconstructions(of: image(0), at: 4, count: 2)
    }
  }

  @Test func neighboursAreTheNearest() throws {
    let data = try Dataset.open("glyphs", split: .train, imageSize: 12)
    let few = Dataset(FewImages(source: data.source, count: 300), name: "few", format: "glyphs")
    func picture(_ index: Int) throws -> Image8 {
      Image8(planes: try few.load(index).pixels, width: 12, height: 12, channels: 1)
    }
    var queries = try [17, 250].map(picture)
    queries[1].bytes[5] ^= 1
    let found = try Neighbours(in: few).nearest(4, to: queries)
    #expect(found[0][0].index == 17 && found[0][0].rmse == 0)
    #expect(found[1][0].index == 250)
    #expect(abs(found[1][0].rmse - (1.0 / 144).squareRoot()) < 1e-12)
    for (query, neighbours) in zip(queries, found) {
      let all = try (0..<300).map { i in
        let d = zip(query.bytes, try picture(i).bytes).reduce(0.0) {
          $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1))
        }
        return (d / 144).squareRoot()
      }.sorted()
      #expect(neighbours.map(\.rmse) == Array(all.prefix(4)))
    }
  }

  /// What `ddpm sample` writes as a grid comes back as its pictures.
  @Test func gridsComeApart() throws {
    let folder = try EvaluationFolder()
    let data = try Dataset.open("glyphs", split: .train, imageSize: 12)
    let pictures = try (0..<5).map { Image8(planes: try data.load($0).pixels, width: 12, height: 12, channels: 1) }
    let (grid, single) = (folder.url.appending(path: "grid.png"), folder.url.appending(path: "one.png"))
    try ImageGrid().picture(of: pictures).writePNG(to: grid)
    try pictures[2].writePNG(to: single)
    #expect(try SamplePictures.read([grid.path], shape: data.shape, count: 100) == pictures)
    #expect(
      try SamplePictures.read([single.path, grid.path], shape: data.shape, count: 2) == [pictures[2], pictures[0]])
    #expect(throws: EvaluationError.self) {
      try SamplePictures.read([grid.path], shape: ImageShape(channels: 1, height: 11, width: 12), count: 1)
    }
  }
}

private struct FewImages: ImageSource {
  let source: any ImageSource
  let count: Int
  var shape: ImageShape { source.shape }
  func load(_ index: Int) throws -> Example { try source.load(index) }
}
