import CPUBackend
import DDPM
import Diffusers
import Diffusion
import Files
import Networks
import Pictures
import TensorGraph
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What of a sample is shown, and models that cannot be sampled.
@Suite struct SamplingOutputTests {
  private let backend = CPUBackend(CPUBackend.Options(threads: 1))

  /// Latents have four channels: grey planes, one below the other.
  @Test func otherChannelsAreShownAsPlanes() async throws {
    let folder = try EvaluationFolder()
    let model = try Model(folder.model(channels: (4, 4)), on: backend)
    var request = SamplingRequest(count: 2)
    request.plan = try model.plan(.ddim, steps: 2)
    let samples = try await draw(model, request)
    #expect(samples.pictures.count == 2)
    for (n, picture) in samples.pictures.enumerated() {
      #expect(picture.width == 16 && picture.height == 64 && picture.channels == 1)
      let planes = samples.final[sample: n].scalars
      // Within the range the most probable pixel is the nearest.
      let inside = planes.indices.filter { abs(planes[$0]) < 0.5 }
      #expect(inside.count > 50)
      for i in inside { #expect(Int(picture.bytes[i]) == DiscretizedDecoder.pixel(nearest: Double(planes[i]))) }
    }
  }

  @Test func aNetworkThatIsToldNoiseLevelsIsNotSampled() throws {
    let folder = try EvaluationFolder()
    let url = try folder.model()
    let config = url.appending(path: "unet/config.json")
    var json = try #require(try JSONValue(parsing: FileBytes.read(config.path, limit: 1 << 20)).object)
    json["time_embedding_type"] = "fourier"
    try AtomicFile.write(JSONValue.object(json).canonicalText, to: config)
    #expect(throws: SamplingError.noiseLevels) { try Model(url, on: backend) }
  }

  /// √ᾱ_t falls by equal parts, to within what whole t allow.
  @Test(arguments: [BetaSchedule.Name.linear, .cosine]) func stripsShowThePictureFade(_ rule: BetaSchedule.Name) throws
  {
    let schedule = try NoiseSchedule(BetaSchedule(rule, from: 1e-4, to: 0.02), T: 1000)
    let chosen = schedule.timestepsAtEvenSignal(9)
    #expect(chosen.first == 0 && chosen.last == 1000 && chosen == chosen.sorted())
    for (k, t) in chosen.enumerated() where t > 0 {
      #expect(abs(schedule.alphaBar[Timestep(t)].squareRoot() - (1 - Double(k) / 8)) < 0.01)
    }
  }
}
