import Diffusion
import Platform

/// The function that stands for the network; diffusers ran the same, in Double.
package func standInNetwork(learned: Bool) -> DenoiserFunction {
  DenoiserFunction { x, t in
    let parts = (0..<x.shape.count).map { n in
      let t = Float(t[n].networkTime)
      let one = x[sample: n]
      let y = one.map { t / 1000 * $0 + 0.2 * sin(3 * $0 + t / 100) }
      return learned ? y.scalars + one.scalars.map { sin(2 * $0 + t / 300) } : y.scalars
    }
    var shape = x.shape
    if learned { shape.channels *= 2 }
    return Images(shape: shape, scalars: parts.flatMap(\.self))
  }
}
