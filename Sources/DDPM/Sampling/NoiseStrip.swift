import Diffusion
import Pictures

/// The forward process on a picture: x_t at some t, side by side, all from one ε (Ho et al. 2020, eq. 4).
public struct NoiseStrip {
  public let schedule: NoiseSchedule
  public let seed: UInt64

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
