import Platform

extension TimestepSpacing {
  /// n levels whose steps, the last to the data, share a quantity as equally as whole levels allow; T is the first.
  ///
  /// - Parameter amounts: what each step t − 1 ← t has of it, not negative, at t = 1…T (index t − 1): entropy production, or its root for
  ///   the least total of a quantity that grows with the square of a step.
  /// - Returns: from noise to data.
  /// - Throws: `SpacingError.count` where n levels do not fit.
  public static func sharing(_ amounts: [Double], into n: Int) throws(SpacingError) -> [Timestep] {
    let T = amounts.count
    guard n >= 1 && n <= T else { throw .count(n, T: T) }
    let sums = cumulative(amounts)
    return apart(
      (0..<n).map { i in
        // C(t_i) = (n − i)/n C(T)
        let wanted = sums[T] * Double(n - i) / Double(n)
        return i == 0 ? T : sums.indices.min { abs(sums[$0] - wanted) < abs(sums[$1] - wanted) } ?? T
      })
  }

  /// Levels from noise to data, moved where two would be one, and so that there is room above the data for all that follow.
  static func apart(_ wanted: [Int]) -> [Timestep] {
    var above = Int.max
    return wanted.enumerated().map { i, t in
      above = max(wanted.count - i, min(t, above - 1))
      return Timestep(above)
    }
  }

  /// C(t) = Σ_{s ≤ t} of the amounts, at t = 0…T.
  static func cumulative(_ amounts: [Double]) -> [Double] {
    var sums = [0.0]
    for (i, amount) in amounts.enumerated() {
      precondition(amount >= 0, "step \(i + 1) has \(amount): what is shared is not negative")
      sums.append(sums[i] + amount)
    }
    return sums
  }
}

extension NoiseSchedule {
  /// A schedule of `T` steps with the same ends, each of which has the same share of a quantity measured on this one.
  ///
  /// - Parameter amounts: as for `TimestepSpacing.sharing`, at t = 1…T of this schedule.
  /// - Throws: `ScheduleError` where two of its levels would be one: where nothing is to be shared over a whole range.
  public func sharing(_ amounts: [Double], T steps: Int) throws(ScheduleError) -> NoiseSchedule {
    precondition(amounts.count == T, "\(amounts.count) amounts for T = \(T)")
    guard steps >= 1 else { throw .empty }
    let sums = TimestepSpacing.cumulative(amounts)
    var ᾱs: [Double] = []
    var t = 1
    for k in 1...steps {
      let wanted = sums[T] * Double(k) / Double(steps)
      while t < T, sums[t] < wanted { t += 1 }
      let part = sums[t] > sums[t - 1] ? min(1, (wanted - sums[t - 1]) / (sums[t] - sums[t - 1])) : 1
      ᾱs.append(k == steps ? ᾱ[last] : interpolated(to: Timestep(t), part))
    }
    return try NoiseSchedule(alphasBar: ᾱs)
  }

  /// ᾱ a fraction of the way from t − 1 to t: linear in ln γ, and in ᾱ next to the data or to zero SNR, where ln γ has no end.
  private func interpolated(to t: Timestep, _ part: Double) -> Double {
    guard t > 1, ᾱ[t] > 0 else { return ᾱ[t.previous] + part * (ᾱ[t] - ᾱ[t.previous]) }
    let logγ = (1 - part) * log(snr[t.previous]) + part * log(snr[t])
    return 1 / (1 + exp(-logγ))
  }
}
