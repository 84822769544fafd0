import Diffusion

extension Model {
  /// What the network says of x_t.
  ///
  /// - Parameters:
  ///   - xt: [N, C, H, W].
  ///   - t: N timesteps.
  /// - Returns: [N, C, H, W], or [N, 2C, H, W] where the variance is learned.
  public func predict(
    _ xt: Images, at t: [Timestep], given condition: Condition = .none
  ) async throws -> Images {
    try await Worker.run { [self] in
      try denoiser(batchSize: xt.shape.count, size: .init(xt.shape)).predict(xt, at: t, given: condition)
    }
  }

  /// The x_T from which DDIM draws the given images: its probability-flow run backwards.
  ///
  /// - Parameters:
  ///   - x0: [N, C, H, W].
  ///   - steps: of the chain; all T unless given.
  ///   - refinements: fixed-point iterations of each step; 0 stops where diffusers does.
  public func invert(
    _ x0: Images, given condition: Condition = .none, steps: Int? = nil, refinements: Int = 3
  ) async throws -> Images {
    try await Worker.cancellable { [self] check in
      let process = try process(limit: X0Limit.none)
      let timesteps = try TimestepSpacing.trailing.timesteps(steps ?? process.schedule.T, of: process.schedule.T)
      var noise = CounterNoise(seed: 0)
      return try DDIMInversion(refinements: refinements).sample(
        shape: x0.shape, timesteps: timesteps, process: process,
        denoiser: denoiser(batchSize: x0.shape.count, size: .init(x0.shape)), given: condition, noise: &noise, start: x0
      ) { _ in try check() }
    }
  }

  /// The bound on −ln p(x_0) of images 0 ..< `count`; it goes on from those that `statistics` holds.
  ///
  /// - Parameters:
  ///   - timesteps: so many of an image's T terms are drawn; nil takes all.
  ///   - image: gives image i.
  /// - Throws: ``EvaluationError``, also where there are not as many timesteps, and what `image` and the backend throw.
  public func bound(
    of count: Int, process: ReverseProcess? = nil, timesteps: Int? = nil, seed: UInt64 = 0, batchSize: Int = 32,
    decoder: VariationalBound.Decoder = .discretized, from statistics: BoundStatistics? = nil,
    image: @escaping @Sendable (Int) throws -> EvaluationImage
  ) async throws -> BoundStatistics {
    try await Worker.cancellable { [self] check in
      let process = try process ?? self.process()
      let T = process.schedule.T
      let first = try image(0)
      let run = try boundRun(
        VariationalBound(process, decoder: decoder), visits: try TimestepVisits(T: T, count: timesteps), seed: seed,
        batchSize: batchSize, size: .init(first.x0.shape))
      var statistics = statistics ?? BoundStatistics(T: T)
      try run(&statistics, upTo: count, image: image) { _, _, _ in try check() }
      return statistics
    }
  }
}
