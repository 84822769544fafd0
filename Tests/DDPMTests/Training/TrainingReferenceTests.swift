import CPUBackend
import DDPM
import Diffusers
import Diffusion
import Files
import Networks
import TensorGraph
import TestSupport
import Testing

/// Twenty steps of PyTorch with recorded batches, t and noise: every loss, every norm, the final weights and their average.
@Suite struct TrainingReferenceTests {
  @Test(.needsShared) func repeatsPyTorch() throws {
    let (pipeline, weights) = try PipelineDirectory.load(SharedFiles.url("reference/training/initial"))
    let steps = try SafetensorsFile(contentsOf: SharedFiles.url("reference/training/steps.safetensors"))
    let x0 = try steps.floats("x0")
    let noise = try steps.floats("noise")
    let t = try steps.integers("t")
    let losses = try steps.floats("loss")
    let norms = try steps.floats("grad_norm")
    let (count, batch) = (losses.count, t.count / losses.count)
    let dimension = x0.count / t.count

    var program = TrainingProgram(
      network: pipeline.network, process: try ReverseProcess(schedule: NoiseSchedule()), objective: .squaredError(),
      adam: Adam(), gradientClip: 1, batchSize: batch, size: .init(height: 28, width: 28))
    program.takesNoise = true
    let engine = try TrainingEngine(program, seed: 0, on: CPUBackend(.init(threads: 1)))
    try engine.start(from: weights)

    for step in 0..<count {
      let samples = step * batch..<(step + 1) * batch
      let scalars = samples.lowerBound * dimension..<samples.upperBound * dimension
      let result = try engine.step(
        .init(
          x0: Array(x0[scalars]), t: t[samples].map { Timestep(zeroBased: $0) }, first: samples.lowerBound,
          noise: Array(noise[scalars])),
        .init(step: step + 1, learningRate: 2e-4 * min(Double(step + 1) / 10, 1), emaDecay: 0.999))
      #expect(relativeError(result.loss, Double(losses[step])) < 1e-4, "loss of step \(step + 1)")
      #expect(relativeError(result.gradientNorm, Double(norms[step])) < 1e-4, "norm of step \(step + 1)")
    }

    for (file, prefix) in [("final", ""), ("final_ema", "ema.")] {
      let expected = try SafetensorsFile(contentsOf: SharedFiles.url("reference/training/\(file).safetensors"))
      var (difference, norm) = (0.0, 0.0)
      for tensor in expected.tensors {
        let found = try engine.states.read(prefix + tensor.name).floats
        for (a, b) in zip(found, try expected.floats(tensor.name)) {
          difference += Double(a - b) * Double(a - b)
          norm += Double(b) * Double(b)
        }
      }
      #expect((difference / norm).squareRoot() < 1e-4, "\(file)")
    }
  }

  private func relativeError(_ found: Double, _ expected: Double) -> Double { abs(found - expected) / abs(expected) }
}
