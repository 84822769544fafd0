import Diffusion
import Platform

/// How a configuration samples: by which sampler, at which levels.
extension SchedulerConfig {
  /// The sampler that diffusers' class is, for n steps. DDIM's η is an argument there, not a key.
  ///
  /// - Throws: `ScheduleError` where β leaves (0, 1).
  public func sampler(steps n: Int, eta: Double = 0) throws -> any Sampler {
    let end: Timestep = finalSigmaIsZero ? .data : 1
    let stride = matchesDiffusers ? T / max(n, 1) : nil
    let scalesStart = matchesDiffusers && spacing != .leading
    switch kind {
    case .ddpm: return Ancestral(noisyEnd: matchesDiffusers)
    case .ddim: return DDIM(eta: eta, final: finalAlphaIsOne ? .data : 1, stride: stride)
    case .pndm:
      return PNDM(skipsRungeKutta: skipsRungeKutta, final: finalAlphaIsOne ? .data : 1, stride: stride)
    case .dpmSolver:
      return DPMSolverPlusPlus(
        order: order, correction: correction, isStochastic: isStochastic, lowerOrderFinal: lowerOrderFinal,
        eulerAtFinal: eulerAtFinal, final: end, halvesCurvature: matchesDiffusers)
    case .singlestep:
      return DPMSolverPlusPlusSinglestep(
        order: order, correction: correction, lowerOrderFinal: lowerOrderFinal, final: end)
    case .unipc:
      // Where σ̄ is spaced, the last step stays where the spacing ends.
      let end = finalSigmaIsZero || sigmas == nil ? end : try timesteps(n).last ?? 1
      return UniPC(
        order: order, variant: variant, lowerOrderFinal: lowerOrderFinal, uncorrected: Set(uncorrected), final: end)
    case .deis: return DEIS(order: order, lowerOrderFinal: lowerOrderFinal, final: matchesDiffusers ? 1 : .data)
    case .lms: return LMS(scalesStart: scalesStart)
    case .euler: return Euler(final: end, scalesStart: scalesStart)
    case .eulerAncestral: return EulerAncestral(scalesStart: scalesStart)
    case .heun: return Heun(scalesStart: scalesStart)
    }
  }

  /// The levels that diffusers' class visits in n steps.
  ///
  /// - Throws: `SpacingError` where n levels do not fit, `ScheduleError` where β leaves (0, 1), ``SchedulerConfigError`` where λ or σ are
  ///   bounded so that no level is left.
  public func timesteps(_ n: Int) throws -> [Timestep] {
    let timesteps = try timestepsSpaced(n)
    guard let sigmas else { return timesteps }
    let schedule = try schedule()
    // The solvers in λ space all of 1…T, the others what they would visit.
    let ends = kind.isSigmaForm ? (timesteps.first, timesteps.last) : (schedule.last, 1)
    let most = sigmaMax ?? schedule.finiteLevel(ends.0 ?? schedule.last).σ̄
    let least = sigmaMin ?? schedule.finiteLevel(ends.1 ?? 1).σ̄
    // The network knows nothing of levels beyond its own.
    let (largest, smallest) = (schedule.finiteLevel(schedule.last).σ̄, schedule.finiteLevel(1).σ̄)
    for (key, σ̄) in [("sigma_max", most), ("sigma_min", least)] {
      guard least <= most, smallest * (1 - 1e-9) <= σ̄, σ̄ <= largest * (1 + 1e-9) else {
        throw SchedulerConfigError.type(
          key: key, found: "\(σ̄)",
          wanted: "a number from \(smallest) to \(largest), the schedule's own, with sigma_min at most sigma_max")
      }
    }
    return sigmas.sigmas(n, from: most, to: least).map { σ̄ in
      let t = schedule.timestep(sigmaBar: σ̄)
      if kind.isSigmaForm { return t }
      let floors = matchesDiffusers && (sigmas != .karras || kind == .dpmSolver && betaSchedule == .cosine)
      return Timestep(
        position: t.position, networkTime: (t.position - 1).rounded(floors ? .down : .toNearestOrEven))
    }
  }

  /// The levels of a spacing of t.
  private func timestepsSpaced(_ n: Int) throws -> [Timestep] {
    switch kind {
    case .lms, .euler, .eulerAncestral, .heun:
      if matchesDiffusers && spacing == .linspace { return try timestepsBetween(n) }
      fallthrough
    case .ddpm, .ddim, .pndm:
      return try spacing.timesteps(n, of: T, offset: stepsOffset, asDiffusers: matchesDiffusers)
    case .unipc, .deis:
      return try spacing.timesteps(n, of: T, counting: .intervals, offset: stepsOffset)
    case .dpmSolver, .singlestep:
      // Levels with λ below the bound are skipped.
      let schedule = try schedule()
      let skipped = schedule.timesteps.count { schedule.finiteLevel($0).λ < minimumLambda }
      guard skipped < T else {
        throw SchedulerConfigError.type(
          key: "lambda_min_clipped", found: "\(minimumLambda)",
          wanted: "a number that leaves some of the \(T) levels, whose largest λ is \(schedule.finiteLevel(1).λ)")
      }
      return try (kind == .singlestep ? .linspace : spacing).timesteps(
        n, of: T, counting: .intervals, offset: stepsOffset, last: Timestep(T - skipped))
    }
  }

  /// diffusers' linspace spacing in σ-form: t unrounded, and σ̄ on a line between two timesteps.
  private func timestepsBetween(_ n: Int) throws -> [Timestep] {
    guard (1...T).contains(n) else { throw SpacingError.count(n, T: T) }
    let schedule = try schedule()
    return (0..<n).reversed().map { i in
      // It counts in Float.
      let t = Double(Float(n == 1 ? 0 : Double(T - 1) * Double(i) / Double(n - 1)))
      let (low, w) = (Timestep(zeroBased: Int(t)), t - t.rounded(.down))
      guard w > 0 else { return low }
      let (from, to) = (schedule.finiteLevel(low).σ̄, schedule.finiteLevel(Timestep(low.number + 1)).σ̄)
      return Timestep(position: schedule.timestep(sigmaBar: from + w * (to - from)).position, networkTime: t)
    }
  }
}
