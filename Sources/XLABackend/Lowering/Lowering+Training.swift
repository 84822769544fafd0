import Platform
import TensorGraph

extension Lowering {
  /// Sines and cosines of t · f for the embedding's frequencies f.
  ///
  /// Angles are turns, t · f/2π, with f/2π in three parts of 12 bits: their products with whole t below 4096 are exact, so that whole
  /// turns can be dropped before anything is rounded, and 32 bits are enough.
  func sinusoidalEmbedding(_ embedding: SinusoidalEmbedding, _ t: HLOValue) -> HLOValue {
    let half = embedding.dimension / 2
    let turns = (0..<half).map { i in
      pow(embedding.maxPeriod, -Double(i) / (Double(half) - embedding.frequencyShift)) / (2 * Double.pi)
    }
    // The upper 12 bits of the significand.
    func head(_ x: Double) -> Double { Double(Float(bitPattern: Float(x).bitPattern & 0xFFFF_F000)) }
    let first = turns.map(head)
    let second = zip(turns, first).map { head($0 - $1) }
    let third = zip(turns, zip(first, second)).map { $0 - $1.0 - $1.1 }
    let shape = [t.shape[0], half]
    let time = t.broadcast(shape, axes: [0])
    let parts = [first, second, third].map { part in
      time * writer.constant(part.map(Float.init), [half]).broadcast(shape, axes: [1])
    }
    func fraction(_ x: HLOValue) -> HLOValue { x - x.apply("round_nearest_even") }
    let angle = fraction(fraction(parts[0]) + fraction(parts[1]) + parts[2]) * (2 * Double.pi)
    let (sine, cosine) = (angle.apply("sine"), angle.apply("cosine"))
    let zeros = embedding.dimension % 2 == 1 ? [writer.splat(0, [t.shape[0], 1])] : []
    return writer.concatenate((embedding.flipSinToCos ? [cosine, sine] : [sine, cosine]) + zeros, axis: 1)
  }

  /// One step of Adam (with decoupled weight decay λ) and of the parameter's moving average.
  func adam(
    _ adam: Adam, p: HLOValue, g: HLOValue, m: HLOValue, v: HLOValue, ema: HLOValue, schedule: HLOValue
  ) -> [HLOValue] {
    func number(_ position: Adam.Schedule) -> HLOValue { schedule[position.rawValue].broadcast(p.shape, axes: []) }
    let (β1, β2, η) = (adam.beta1, adam.beta2, number(.learningRate))
    let g = g * number(.gradientScale)
    // m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²
    let m = β1 * m + (1 - β1) * g
    let v = β2 * v + (1 - β2) * (g * g)
    // p ← p − η m̂ / (√v̂ + ε) − η λ p
    let mHat = m / number(.biasCorrection1)
    let vHat = v / number(.biasCorrection2)
    var change = η * (mHat / (vHat.squareRoot() + adam.epsilon))
    if adam.weightDecay != 0 { change = change + adam.weightDecay * (η * p) }
    let next = p - change
    // ema ← d ema + (1 − d) p
    let d = number(.emaDecay)
    return [next, m, v, d * ema + (1 - d) * next]
  }
}
