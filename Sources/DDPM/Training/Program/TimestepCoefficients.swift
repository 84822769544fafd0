import Diffusion
import TensorGraph

/// The schedule's coefficients at each sample's own t, inside the graph: tables of T + 1 rows, gathered by t = 1…T.
struct TimestepCoefficients {
  let process: ReverseProcess
  /// int32 (N), 1…T.
  let timestep: Tensor

  private var schedule: NoiseSchedule { process.schedule }

  /// `value(t)` of each sample (N, 1, 1, 1), rounded once.
  func callAsFunction(_ value: (Timestep) -> Double) -> Tensor {
    // Row 0, the data, is never asked for.
    let table = [0] + schedule.timesteps.map { Float(value($0)) }
    let constants = timestep.builder.constant(table, shape: [schedule.T + 1, 1])
    return constants.gatherRows(timestep).reshaped([timestep.shape[0], 1, 1, 1])
  }

  /// √ᾱ_t and √(1 − ᾱ_t).
  var level: NoiseLevel<Tensor> {
    NoiseLevel(sqrtᾱ: self { schedule.sqrtᾱ[$0] }, sqrtOneMinusᾱ: self { schedule.sqrtOneMinusᾱ[$0] })
  }

  /// The coefficients of μ̃_t.
  var posterior: Posterior<Tensor> {
    Posterior(
      x0Coefficient: self { schedule.posterior($0).x0Coefficient },
      xtCoefficient: self { schedule.posterior($0).xtCoefficient })
  }
}
