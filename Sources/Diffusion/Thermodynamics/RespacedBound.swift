import Platform

/// The bound of any list of levels, from squared errors measured once at every t: each step's term depends on the error at its start alone
/// (Watson, Ho, Norouzi & Chan 2021, "Learning to efficiently sample from diffusion probabilistic models").
public struct RespacedBound: Sendable {
  /// p_θ, of a fixed variance.
  public let process: ReverseProcess
  /// D.
  public let dimension: Int
  /// E‖x_0 − x̂_0‖², summed over dimensions, at t = 1…T (index t − 1).
  public let x0Errors: [Double]
  /// −ln p_θ(x_0 | x_t) in nats for a last step from t, at t = 1…T (index t − 1).
  public let decoder: [Double]

  /// - Parameters:
  ///   - process: of a fixed variance; a learned one has no term that the error determines.
  ///   - decoder: what was measured of it; without, that of a density.
  public init(_ process: ReverseProcess, dimension: Int, x0Errors: [Double], decoder: [Double]? = nil) {
    precondition(!process.variance.isLearned, "the terms of a learned variance do not follow from squared errors")
    precondition(x0Errors.count == process.schedule.T, "\(x0Errors.count) errors for T = \(process.schedule.T)")
    precondition(decoder.map { $0.count == x0Errors.count } ?? true, "one decoder term for each t")
    self.process = process
    self.dimension = dimension
    self.x0Errors = x0Errors
    self.decoder =
      decoder
      ?? process.schedule.timesteps.map { t in
        // −ln N(x_0; x̂_0, σ² I)
        let logσ² = process.fixedLogVariance(at: t, to: .data)
        return 0.5 * (Double(dimension) * (log(2 * .pi) + logσ²) + x0Errors[t.number - 1] * exp(-logσ²))
      }
  }

  /// L(t → s), in nats: the term of the step from t to s.
  public func term(from t: Timestep, to s: Timestep) -> Double {
    if s == .data { return decoder[t.number - 1] }
    // L(t → s) = KL(N(μ̃, β̃ I) ‖ N(μ, σ² I)) = D KL of the variances + c² ‖x_0 − x̂_0‖² / (2σ²)
    let logσ² = process.fixedLogVariance(at: t, to: s)
    let c = process.schedule.posterior(t, to: s).x0Coefficient
    let variances = gaussianKL(
      mean1: 0, logVariance1: process.schedule.posteriorLogVariance(t, to: s), mean2: 0, logVariance2: logσ²)
    return Double(dimension) * variances + 0.5 * c * c * exp(-logσ²) * x0Errors[t.number - 1]
  }

  /// Σ of the terms of a list of levels, from noise to data, the last step to the data; without L_T, which no choice of levels below T changes.
  public func total(_ timesteps: [Timestep]) -> Double {
    zip(timesteps, timesteps.dropFirst() + [.data]).reduce(0) { $0 + term(from: $1.0, to: $1.1) }
  }

  /// The levels with the least total, for each number of steps 1…`steps` (index steps − 1); T is the first of each.
  public func best(upTo steps: Int) -> [[Timestep]] {
    bestPaths(T: process.schedule.T, upTo: steps) { term(from: Timestep($0), to: Timestep($1)) }
      .map { $0.map { Timestep($0) } }
  }
}

/// The cheapest paths T = t_1 > t_2 > … > t_K > 0 of K = 1…`steps` steps, the last to 0 (Watson et al. 2021, the dynamic programme):
/// O(K T²) for all of them together.
///
/// - Parameter cost: of the step from t to s < t.
/// - Returns: t_1…t_K at index K − 1.
package func bestPaths(T: Int, upTo steps: Int, cost: (_ t: Int, _ s: Int) -> Double) -> [[Int]] {
  precondition((1...T).contains(steps), "\(steps) steps from T = \(T)")
  // Rows of growing length: cost from t to s at t (t − 1)/2 + s.
  let costs = (1...T).flatMap { t in (0..<t).map { cost(t, $0) } }
  // least[t]: the cost of k steps from t to 0; next[k][t]: where the first of them leads
  var least = [0] + [Double](repeating: .infinity, count: T)
  var next: [[Int]] = []
  for _ in 1...steps {
    // C_k(t) = min_s L(t → s) + C_{k−1}(s)
    var (better, to) = ([Double](repeating: .infinity, count: T + 1), [Int](repeating: 0, count: T + 1))
    for t in 1...T {
      let row = t * (t - 1) / 2
      for s in 0..<t where costs[row + s] + least[s] < better[t] {
        better[t] = costs[row + s] + least[s]
        to[t] = s
      }
    }
    least = better
    next.append(to)
  }
  return (1...steps).map { K in
    var path = [T]
    for k in stride(from: K - 1, to: 0, by: -1) { path.append(next[k][path[path.count - 1]]) }
    return path
  }
}
