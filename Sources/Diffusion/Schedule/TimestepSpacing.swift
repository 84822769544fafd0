/// Which n of the T noise levels a sampler visits (Lin et al. 2023, table 2), exactly as diffusers rounds them. A single level is T.
public enum TimestepSpacing: String, Sendable, CaseIterable {
  /// Multiples of ⌊T/n⌋ from the data's end; the sampler need not start at T.
  case leading
  /// Evenly from 1 to T, both included.
  case linspace
  /// Multiples of T/n from the noise's end; T is always included.
  case trailing

  /// What n counts.
  public enum Counting: Sendable {
    /// n levels (DDPM, DDIM, Euler, Heun).
    case levels
    /// n intervals between n + 1 levels, the cleanest dropped (DPM-Solver).
    case intervals
  }

  /// The levels to visit, from noise to data.
  ///
  /// - Parameters:
  ///   - offset: diffusers' `steps_offset`, added to the levels of `.leading`.
  ///   - last: the noisiest level allowed (DPM-Solver's `lambda_min_clipped`); T unless given.
  ///   - asDiffusers: whether a single level is the one nearest to the data, as diffusers has it, not T.
  /// - Throws: `SpacingError` where n levels do not fit.
  public func timesteps(
    _ n: Int, of T: Int, counting: Counting = .levels, offset: Int = 0, last: Timestep? = nil, asDiffusers: Bool = false
  ) throws(SpacingError) -> [Timestep] {
    guard n >= 1 && n <= T else { throw .count(n, T: T) }
    if n == 1 && counting == .levels && !asDiffusers { return [Timestep(T)] }
    let last = last?.number ?? T
    let indices: [Int]
    switch (self, counting) {
    case (.leading, .levels):
      let stride = T / n
      indices = (0..<n).map { $0 * stride + offset }
    case (.leading, .intervals):
      let stride = last / (n + 1)
      indices = (1...n).map { $0 * stride + offset }
    case (.linspace, .levels):
      indices = Diffusion.linspace(0, Double(T - 1), n).map(Self.round)
    case (.linspace, .intervals):
      indices = Diffusion.linspace(0, Double(last - 1), n + 1).dropFirst().map(Self.round)
    case (.trailing, _):
      // numpy's arange adds multiples of a step that was itself rounded once, by (start + step) − start.
      let start = Double(counting == .levels ? T : last)
      let step = (start - Double(T) / Double(n)) - start
      let count = Int((start / (Double(T) / Double(n))).rounded(.up))
      indices = (0..<count).map { Self.round(start + Double($0) * step) - 1 }.filter { $0 >= 0 }.reversed()
    }
    if let worst = indices.last, worst >= T { throw .beyondEnd(Timestep(zeroBased: worst), T: T, offset: offset) }
    // Rounding can put two levels on one number when n is close to T; a step of no length says nothing.
    for i in indices.indices.dropFirst() where indices[i] <= indices[i - 1] { throw .repeats(n, T: T) }
    return indices.reversed().map { Timestep(zeroBased: $0) }
  }

  /// Half to even, as numpy.
  private static func round(_ x: Double) -> Int { Int(x.rounded(.toNearestOrEven)) }
}

/// Why a sampler's levels cannot be laid out.
public enum SpacingError: Error, Equatable, CustomStringConvertible {
  case count(Int, T: Int)
  case beyondEnd(Timestep, T: Int, offset: Int)
  case repeats(Int, T: Int)

  public var description: String {
    switch self {
    case .count(let n, let T): "\(n) sampling steps from a schedule of T = \(T): ask for 1 to \(T)"
    case .beyondEnd(let t, let T, let offset):
      "steps_offset \(offset) moves the first sampling step to \(t), beyond T = \(T): lower it, or ask for fewer steps"
    case .repeats(let n, let T): "\(n) of T = \(T) steps leave repeated levels: ask for fewer, or another spacing"
    }
  }
}
