import Diffusion
import TensorGraph

/// The training objective inside the graph: what `ReverseProcess.objective` computes plainly, in a form that can be differentiated.
struct GraphObjective {
  let process: ReverseProcess
  let objective: Objective

  /// One number a sample (N), and the values that differentiation must take for constants.
  ///
  /// - Parameters:
  ///   - output: the network's (N, C, H, W), or (N, 2C, H, W) where the variance is learned.
  ///   - x0, ε, xt: (N, C, H, W) with x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε.
  ///   - timestep: int32 (N), 1…T.
  func callAsFunction(output: Tensor, x0: Tensor, ε: Tensor, xt: Tensor, timestep: Tensor) -> (
    losses: Tensor, constants: [Tensor]
  ) {
    let at = TimestepCoefficients(process: process, timestep: timestep)
    switch objective {
    case .squaredError(let weight):
      let weights = each(at { process.weight(weight, at: $0) })
      return (squaredError(prediction(output), x0: x0, ε: ε, xt: xt, at: at) * weights, [])
    case .hybrid(let λ):
      // L_hybrid = L_simple + λ L_vlb (Nichol & Dhariwal 2021, eq. 16)
      let simple = squaredError(prediction(output), x0: x0, ε: ε, xt: xt, at: at)
      let (bound, constant) = GraphBound(process: process)(output: output, x0: x0, xt: xt, at: at)
      return (simple + (λ ?? Double(process.schedule.T) / 1000) * bound, [constant])
    }
  }

  /// The mean over dimensions of (target − output)², (N).
  private func squaredError(_ output: Tensor, x0: Tensor, ε: Tensor, xt: Tensor, at: TimestepCoefficients) -> Tensor {
    let target = process.prediction.target(x0: x0, ε: ε, xt: xt, level: at.level, posterior: at.posterior)
    return (target - output).squared().mean([1, 2, 3])
  }

  /// The first half of the channels where the second speaks of the variance.
  private func prediction(_ output: Tensor) -> Tensor {
    process.variance.isLearned ? output.split(axis: 1, parts: 2)[0] : output
  }

  /// (N, 1, 1, 1) → (N).
  private func each(_ coefficient: Tensor) -> Tensor { coefficient.reshaped([coefficient.shape[0]]) }
}
