import Diffusion

extension Images {
  var doubles: [Double] { scalars.map(Double.init) }
}

/// N(0, I) for tests, a function of the seed.
func normals(_ shape: Images.Shape, seed: UInt64) -> Images {
  CounterNoise(seed: seed, stream: .evaluation).initialNoise(shape: shape)
}

/// Mean and variance.
func moments(_ values: [Double]) -> (mean: Double, variance: Double) {
  let mean = values.reduce(0, +) / Double(values.count)
  return (mean, values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1))
}

/// The log masses of all 256 bins.
func logProbabilities(mean μ: Double, logσ: Double) -> [Double] {
  (0...255).map { DiscretizedDecoder.logLikelihood(pixel: $0, mean: μ, logSigma: logσ) }
}
