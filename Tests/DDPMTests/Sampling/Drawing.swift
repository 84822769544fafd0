import DDPM
import Diffusion
import Pictures

/// Draws all that a request asks for, batch by batch.
func draw(_ model: Model, _ request: SamplingRequest) async throws -> [Samples] {
  var batches: [Samples] = []
  for try await event in try model.sample(request) {
    if case .samples(let samples) = event { batches.append(samples) }
  }
  return batches
}

extension [Samples] {
  /// x_0 of all batches.
  var final: Images { Images(joining: map(\.final)) }
  var pictures: [Image8] { flatMap(\.pictures) }
}
