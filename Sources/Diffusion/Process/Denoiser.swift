/// Anything that looks at x_t, t and what is asked of x_0: a network with its weights, or a formula.
public protocol Denoiser {
  /// The prediction, each sample at its own t.
  ///
  /// - Parameters:
  ///   - xt: [N, C, H, W].
  ///   - t: N timesteps, 1…T.
  ///   - condition: of N samples, or `.none`.
  /// - Returns: [N, C, H, W], or [N, 2C, H, W] where the variance is learned.
  /// - Throws: where the condition is not of the kind that the denoiser asks for.
  func predict(_ xt: Images, at t: [Timestep], given condition: Condition) throws -> Images
}

extension Denoiser {
  /// The prediction of an unconditional denoiser.
  public func predict(_ xt: Images, at t: [Timestep]) throws -> Images { try predict(xt, at: t, given: .none) }
}

/// A denoiser given as a closure.
public struct DenoiserFunction: Denoiser {
  private let body: (Images, [Timestep], Condition) throws -> Images

  /// One that looks at the condition too.
  public init(_ body: @escaping (Images, [Timestep], Condition) throws -> Images) { self.body = body }

  /// One for which all conditions are the same.
  public init(_ body: @escaping (Images, [Timestep]) throws -> Images) { self.body = { xt, t, _ in try body(xt, t) } }

  /// What the closure says.
  public func predict(_ xt: Images, at t: [Timestep], given condition: Condition) throws -> Images {
    try body(xt, t, condition)
  }
}
