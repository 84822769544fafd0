import Diffusion
import Pictures

extension NoiseSchedule {
  /// From 0 to T, where √ᾱ_t, the picture's share of x_t, falls by equal parts: at equal steps of t most would be noise.
  public func timestepsAtEvenSignal(_ count: Int) -> [Int] {
    precondition(count >= 2, "\(count) timesteps reach from nowhere to nowhere")
    func share(_ t: Int) -> Double { t == 0 ? 1 : ᾱ[Timestep(t)].squareRoot() }
    let least = share(T)
    return (0..<count).map { k in
      let wanted = 1 - (1 - least) * Double(k) / Double(count - 1)
      return (0...T).min { abs(share($0) - wanted) < abs(share($1) - wanted) } ?? T
    }
  }
}

/// The forward process on a picture: x_t at some t, side by side, all from one ε (Ho et al. 2020, eq. 4).
public struct NoiseStrip {
  /// The forward process's tables.
  public let schedule: NoiseSchedule
  /// Of ε, the same at all t.
  public let seed: UInt64

  /// - Parameter seed: of the one ε.
  public init(_ schedule: NoiseSchedule, seed: UInt64) {
    self.schedule = schedule
    self.seed = seed
  }

  /// - Parameter timesteps: 0, the picture itself, to T.
  /// - Throws: ``ConfigurationError`` naming a t beyond T.
  public func callAsFunction(_ picture: Image8, timesteps: [Int]) throws -> [Image8] {
    let shape = Images.Shape(1, picture.channels, picture.height, picture.width)
    let x0 = Images(shape: shape, scalars: picture.planes.map { Float(DiscretizedDecoder.value(ofPixel: Int($0))) })
    let ε = CounterNoise(seed: seed).initialNoise(shape: shape)
    return try timesteps.flatMap { t in
      guard (0...schedule.T).contains(t) else {
        throw ConfigurationError("timestep \(t) is not one of 0…\(schedule.T)")
      }
      return ForwardProcess(schedule).noised(x0, at: Timestep(t), epsilon: ε).pictures
    }
  }
}
