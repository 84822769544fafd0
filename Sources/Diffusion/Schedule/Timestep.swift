/// A step of the diffusion, counted as the paper counts: 0 is the data, 1…T the noise levels.
///
/// Networks and diffusers count levels from 0; `zeroBased` is for that border alone.
public struct Timestep: Hashable, Comparable, Sendable, ExpressibleByIntegerLiteral, CustomStringConvertible {
  public let number: Int

  public init(_ number: Int) {
    precondition(number >= 0, "timestep \(number): counts from 0, the data")
    self.number = number
  }

  public init(integerLiteral number: Int) { self.init(number) }

  /// From diffusers' count, 0…T−1.
  public init(zeroBased index: Int) { self.init(index + 1) }

  /// x_0 itself.
  public static let data: Timestep = 0

  /// What the network and diffusers call this step: t − 1.
  public var zeroBased: Int { number - 1 }

  public var previous: Timestep { Timestep(number - 1) }

  public static func < (a: Timestep, b: Timestep) -> Bool { a.number < b.number }
  public var description: String { "\(number)" }
}

/// A quantity at each timestep 0…T.
public struct TimestepTable: Sendable, Equatable {
  /// `values[t]` for t = 0…T.
  public let values: [Double]

  public subscript(t: Timestep) -> Double {
    precondition(t.number < values.count, "timestep \(t) of a schedule with T = \(values.count - 1)")
    return values[t.number]
  }
}
