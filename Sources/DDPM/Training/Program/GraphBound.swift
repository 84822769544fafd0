import Diffusion
import TensorGraph

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// One term of the variational bound for a learned variance, inside the graph: bits a dimension, (N).
///
/// It moves the variance alone: its mean enters as a constant (Nichol & Dhariwal 2021, section 3.1).
struct GraphBound {
  let process: ReverseProcess

  /// - Returns: The bound, and the value that differentiation must take for a constant.
  func callAsFunction(
    output: Tensor, x0: Tensor, xt: Tensor, at: TimestepCoefficients
  ) -> (bits: Tensor, constant: Tensor) {
    let halves = output.split(axis: 1, parts: 2)
    let (level, posterior) = (at.level, at.posterior)
    // A value of its own, so that it can be held while L_simple moves the prediction.
    let constant = halves[0].unary(.scale(1))
    let x̂0 = process.prediction.x0(constant, xt: xt, level: level, posterior: posterior)
    let difference = posterior.mean(x0: x0, xt: xt) - posterior.mean(x0: x̂0, xt: xt)

    // ln σ² = (v + 1)/2 · ln β + (1 − v)/2 · ln β̃ = ln β̃ + (v + 1)/2 · (ln β − ln β̃)
    let least = at { process.logVarianceRange(at: $0).least }
    let range = at { process.logVarianceRange(at: $0).most - process.logVarianceRange(at: $0).least }
    let logσ² = least + 0.5 * (halves[1] + 1) * range

    // L_{t−1} = KL(N(μ̃, β̃) ‖ N(μ, σ²)) = ½ (ln σ²/β̃ + β̃/σ² − 1 + (μ̃ − μ)²/σ²)
    let ratio = least - logσ²
    let kl = 0.5 * (ratio.unary(.expm1) - ratio + difference.squared() * (-logσ²).exp())
    // L_0 = −ln p(x_0 | x_1), at t = 1 where μ̃ = x_0
    let l0 = -logDecoder(x0, difference: difference, logσ²: logσ²)

    let isFirst = at { $0 == 1 ? 1 : 0 }
    let nats = kl * (1 - isFirst) + l0 * isFirst
    return (nats.mean([1, 2, 3]) * (1 / log(2)), constant)
  }

  /// ln of the mass of N(μ, σ²) on the bin of x_0, whose half width is 1/255 and whose ends at ±1 are open, with `difference` = x_0 − μ.
  private func logDecoder(_ x0: Tensor, difference: Tensor, logσ²: Tensor) -> Tensor {
    // For t > 1 the result is thrown away, but must stay finite: 0 · ∞ is no number.
    let difference = difference.clamped(to: -4...4)
    let inverseσ = (-0.5 * logσ²).exp()
    let halfBin = 1.0 / 255
    let logΦ = { (z: Tensor) in z.clamped(to: -1e4...1e4).unary(.logNormalCDF) }

    // Mirrored to the lower tail: the bin lies between −|x_0 − μ| ∓ 1/255.
    let centre = -difference.unary(.absolute)
    let upper = logΦ((centre + halfBin) * inverseσ)
    let lower = logΦ((centre - halfBin) * inverseσ)
    // ln(Φ(b) − Φ(a)) = ln Φ(b) + ln(1 − e^{ln Φ(a) − ln Φ(b)})
    let inside = upper + (-(lower - upper).unary(.expm1)).clamped(to: 1e-12...1).log()

    // x_0 = 1: 1 − Φ((x_0 − 1/255 − μ)/σ); x_0 = −1: Φ((x_0 + 1/255 − μ)/σ)
    let atTop = (x0 - 0.999).unary(.step)
    let atBottom = (-0.999 - x0).unary(.step)
    let top = logΦ((halfBin - difference) * inverseσ)
    let bottom = logΦ((difference + halfBin) * inverseσ)
    return inside * (1 - atTop - atBottom) + top * atTop + bottom * atBottom
  }
}
