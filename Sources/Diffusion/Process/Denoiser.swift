/// Anything that looks at x_t and t: a network, with its labels and its weights, or a formula.
public protocol Denoiser {
  /// The prediction, each sample at its own t.
  ///
  /// - Parameters:
  ///   - xt: [N, C, H, W].
  ///   - t: N timesteps, 1…T.
  /// - Returns: [N, C, H, W], or [N, 2C, H, W] where the variance is learned.
  func predict(_ xt: Images, at t: [Timestep]) throws -> Images
}

/// A denoiser given as a closure.
public struct DenoiserFunction: Denoiser {
  private let body: (Images, [Timestep]) throws -> Images

  public init(_ body: @escaping (Images, [Timestep]) throws -> Images) { self.body = body }

  public func predict(_ xt: Images, at t: [Timestep]) throws -> Images { try body(xt, t) }
}
