/// A step of the diffusion, counted as the paper counts: 0 is the data, 1…T the noise levels.
///
/// Networks and diffusers count levels from 0; `zeroBased` and `networkTime` are for that border alone. A network is trained at whole
/// steps; a sampler may also visit levels between two of them.
public struct Timestep: Hashable, Comparable, Sendable, ExpressibleByIntegerLiteral, CustomStringConvertible {
  /// t: 0 for the data; of a level between two steps the lower.
  public let number: Int
  /// How far the level lies from `number` towards the next, in [0, 1): 0 for every level that is trained. `NoiseSchedule.level` says what
  /// that means.
  public let fraction: Double
  /// What the network is told of the level, counted from 0: `zeroBased` for every level that is trained.
  public let networkTime: Double

  /// A whole step; also written as an integer literal.
  public init(_ number: Int) {
    precondition(number >= 0, "timestep \(number): counts from 0, the data")
    self.number = number
    fraction = 0
    networkTime = Double(number - 1)
  }

  /// A level between two of 1…T.
  ///
  /// - Parameters:
  ///   - position: at least 1; within 1e-9 of a whole number it is that step.
  ///   - networkTime: what the network is told; the position, counted from 0, unless given.
  public init(position: Double, networkTime: Double? = nil) {
    precondition(position >= 1, "timestep \(position): levels lie between from 1 on")
    let whole = position.rounded()
    let position = abs(position - whole) < 1e-9 ? whole : position
    number = Int(position.rounded(.down))
    fraction = position - position.rounded(.down)
    self.networkTime = networkTime ?? position - 1
  }

  public init(integerLiteral number: Int) { self.init(number) }

  /// From diffusers' count, 0…T−1.
  public init(zeroBased index: Int) { self.init(index + 1) }

  /// x_0 itself.
  public static let data: Timestep = 0

  /// What diffusers calls this step: t − 1.
  public var zeroBased: Int { number - 1 }

  /// t − 1, without a fraction; the data has none.
  public var previous: Timestep { Timestep(number - 1) }

  /// Where the level lies: `number` and `fraction` in one.
  public var position: Double { Double(number) + fraction }

  public static func < (a: Timestep, b: Timestep) -> Bool { a.position < b.position }
  public var description: String { fraction == 0 ? "\(number)" : "\(position)" }
}

/// A quantity at each timestep 0…T.
public struct TimestepTable: Sendable, Equatable {
  /// `values[t]` for t = 0…T.
  public let values: [Double]

  /// The value at a whole step 0…T of the schedule.
  public subscript(t: Timestep) -> Double {
    precondition(t.number < values.count, "timestep \(t) of a schedule with T = \(values.count - 1)")
    precondition(t.fraction == 0, "timestep \(t) lies between two levels: ask NoiseSchedule.level")
    return values[t.number]
  }
}
