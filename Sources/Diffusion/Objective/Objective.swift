/// What training makes small.
public enum Objective: Sendable, Hashable {
  /// A weighted squared error of the output: L_simple, the bound's terms, the μ̃ form (with `Prediction.mean`), min-SNR.
  case squaredError(LossWeight = .simple)
  /// L_simple + `λ` L_{t−1}, for a learned variance: the bound moves the variance alone, its mean is detached
  /// (Nichol & Dhariwal 2021, eq. 16). L_{t−1} is the term of the sampled t in bits a dimension. T times it estimates their L_vlb, so that
  /// their 0.001 is λ = T/1000 here, as in their code.
  case hybrid(lambda: Double? = nil)
}
