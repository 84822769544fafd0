import Diffusion
import Platform

/// The bound in few steps, at levels chosen in several ways: what a spacing costs, in bits.
///
/// The steps have the variance β̃, whose terms are the upper sums of the information (entry T6 of docs/thermodynamics.md). The last step,
/// where it does not leave t = 1, is a Gaussian as wide as the measured error of x̂_0, the best there is.
public struct SpacingComparison: Sendable, Equatable {
  /// One list of levels.
  public struct Choice: Sendable, Equatable {
    /// `leading`, `linspace`, `trailing`, `karras`, `dissipation` or `best`.
    public let spacing: String
    /// From noise to data.
    public let levels: [Timestep]
    /// The bound, bits a dimension.
    public let bits: Double
  }

  /// For each number of steps, all spacings.
  public let choices: [[Choice]]

  /// - Parameters:
  ///   - process: of the model; its variance does not matter.
  ///   - x0Errors: mean squared errors of x̂_0, a dimension, at t = 1…T (index t − 1).
  ///   - reconstruction: L_0 as measured at t = 1, nats a dimension.
  ///   - isPixels: whether x_0 are pixels, which lie 1/127.5 apart, so that probabilities come out and not densities.
  ///   - dissipation: what each step produces, at t = 1…T.
  ///   - steps: the numbers of steps; those beyond T are left out.
  public init(
    _ process: ReverseProcess, _ thermodynamics: Thermodynamics, x0Errors: [Double], reconstruction: Double,
    isPixels: Bool, dissipation: [Double], steps: [Int] = [5, 10, 20, 50]
  ) throws {
    let schedule = process.schedule
    let D = Double(thermodynamics.dimension)
    let steps = steps.filter { $0 <= schedule.T }
    let fixed = try ReverseProcess(
      schedule: schedule, prediction: process.prediction, variance: .fixedSmall, limit: process.limit)
    let decoder = x0Errors.indices.map { i in
      // −E ln N(x_0; x̂_0, σ² I) with σ² the mean squared error
      let density = 0.5 * log(2 * .pi * M_E * max(x0Errors[i], 1e-12))
      return D * (i == 0 ? reconstruction : density + (isPixels ? log(127.5) : 0))
    }
    let bound = RespacedBound(
      fixed, dimension: thermodynamics.dimension, x0Errors: x0Errors.map { D * $0 }, decoder: decoder)
    let best = steps.max().map { bound.best(upTo: $0) } ?? []
    choices = steps.map { n in
      var lists: [(String, [Timestep]?)] = TimestepSpacing.allCases.map { spacing in
        (spacing.rawValue, try? spacing.timesteps(n, of: schedule.T))
      }
      lists.append((SigmaSpacing.karras.rawValue, try? schedule.timesteps(n, spaced: .karras)))
      lists.append(("dissipation", try? TimestepSpacing.sharing(dissipation, into: n)))
      lists.append(("best", best[n - 1]))
      return lists.compactMap { name, levels in
        guard let levels, let first = levels.first else { return nil }
        // What lies above the first level is not sampled: pure noise takes its place.
        let nats = thermodynamics.priorDivergence(at: first) + bound.total(levels)
        return Choice(spacing: name, levels: levels, bits: nats / (D * log(2.0)))
      }
    }
  }
}
