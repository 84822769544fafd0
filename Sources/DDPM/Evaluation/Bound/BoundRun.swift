import Diffusion

/// Measures the variational bound of images: what `ddpm evaluate` does.
///
/// (image, t) pairs of several images share a batch of the network. What enters the statistics depends on (seed, image, t) and not on
/// how the pairs were batched.
public struct BoundRun<D: Denoiser> {
  /// What is measured.
  public let bound: VariationalBound
  /// What says ε̂ of x_t.
  public let denoiser: D
  /// Which t of each image.
  public let visits: TimestepVisits
  /// Where the x_t come from.
  public let path: NoisePath
  /// Of all noise, and of the t where few are drawn.
  public let seed: UInt64
  /// Pairs that the network sees together.
  public let batchSize: Int
  /// What measures them where the network runs; nil for the host.
  private let device: DeviceBound?

  /// - Parameters:
  ///   - visits: nil for all T.
  ///   - path: a trajectory needs all T.
  ///   - batchSize: (image, t) pairs that the network sees together; it changes the speed, not the result.
  public init(
    _ bound: VariationalBound, denoiser: D, visits: TimestepVisits? = nil, path: NoisePath = .independent, seed: UInt64,
    batchSize: Int
  ) {
    self.init(
      bound, denoiser: denoiser, visits: visits, path: path, seed: seed, batchSize: batchSize, device: nil)
  }

  /// - Parameter device: in place of `denoiser` and the host's arithmetic, of the same bound and seed.
  init(
    _ bound: VariationalBound, denoiser: D, visits: TimestepVisits?, path: NoisePath, seed: UInt64, batchSize: Int,
    device: DeviceBound?
  ) {
    let T = bound.process.schedule.T
    let visits = visits ?? TimestepVisits(T: T)
    precondition(visits.T == T, "visits to \(visits.T) timesteps for a schedule of \(T)")
    precondition(batchSize > 0, "a batch of \(batchSize)")
    precondition(path == .independent || visits.isComplete && device == nil, "a trajectory visits every t, on the host")
    self.bound = bound
    self.denoiser = denoiser
    self.visits = visits
    self.path = path
    self.seed = seed
    self.batchSize = batchSize
    self.device = device
  }

  /// Goes on from the images that `statistics` holds.
  ///
  /// - Parameters:
  ///   - statistics: whole images only, also where an error ends the run: it can go on from them.
  ///   - count: images in the end.
  ///   - image: gives image i.
  ///   - observe: called after each batch with the pairs done and the pairs to do in this call; throw from it to stop.
  public func callAsFunction(
    _ statistics: inout BoundStatistics, upTo count: Int, image: (Int) throws -> EvaluationImage,
    observe: ((_ done: Int, _ total: Int, _ statistics: BoundStatistics) throws -> Void)? = nil
  ) throws {
    let first = statistics.images.count
    let total = max(0, count - first) * visits.count
    var done = 0
    var batch: [ImageWalk.Pair] = []
    // Images that have pairs in the batch, or wait for their last ones.
    var open: [OpenImage] = []

    func score() throws {
      for term in try terms(batch) {
        guard term.nats.isFinite else { throw EvaluationError.notFinite(term.nats, t: term.t) }
        open[open.firstIndex { $0.terms.count < $0.visits.count } ?? 0].terms.append(term)
      }
      while let image = open.first, image.terms.count == image.visits.count {
        statistics.add(prior: image.prior, terms: image.terms, visits: image.visits)
        open.removeFirst()
      }
      done += batch.count
      batch.removeAll(keepingCapacity: true)
      try observe?(done, total, statistics)
    }

    for index in first..<max(first, count) {
      let image = try image(index)
      let visits = visits(image: index, seed: seed)
      open.append(OpenImage(prior: bound.prior(image.x0)[0], visits: visits))
      let walk = ImageWalk(
        image, index: index, visits: visits, path: path, schedule: bound.process.schedule, seed: seed,
        draws: device == nil)
      for pair in walk {
        batch.append(pair)
        if batch.count == batchSize { try score() }
      }
    }
    if !batch.isEmpty { try score() }
  }

  private func terms(_ pairs: [ImageWalk.Pair]) throws -> [VariationalBound.Term] {
    if let device { return try device.terms(pairs) }
    return try terms(
      x0: Images(joining: pairs.map(\.x0)), ε: Images(joining: pairs.compactMap(\.ε)), at: pairs.map(\.t),
      given: Condition(joining: pairs.map(\.condition)))
  }

  /// Asks the network about x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε, and measures the answers; nats a dimension.
  ///
  /// - Parameters:
  ///   - x0: [N, C, H, W].
  ///   - ε: [N, C, H, W].
  ///   - t: N timesteps.
  ///   - condition: of the N samples.
  public func terms(
    x0: Images, ε: Images, at t: [Timestep], given condition: Condition = .none
  ) throws -> [VariationalBound.Term] {
    let xt = ForwardProcess(bound.process.schedule).noised(x0, at: t, epsilon: ε)
    return bound.terms(x0, epsilon: ε, output: try denoiser.predict(xt, at: t, given: condition), at: t)
  }
}

/// An image that not all terms are known of.
private struct OpenImage {
  let prior: Double
  let visits: [TimestepVisits.Visit]
  var terms: [VariationalBound.Term] = []
}
