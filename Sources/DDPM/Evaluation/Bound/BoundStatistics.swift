import Diffusion
import Platform

/// The bound of the images so far: per image, and per t over images. Only whole images enter, in their order.
public struct BoundStatistics: Sendable, Equatable {
  /// The bound of one image, in bits a dimension.
  public struct ImageBound: Sendable, Equatable {
    /// L_T.
    public let prior: Double
    /// Σ_{t>1} L_{t−1}, or its estimate.
    public let diffusion: Double
    /// L_0.
    public let reconstruction: Double

    /// L = L_T + Σ_{t>1} L_{t−1} + L_0.
    public var total: Double { prior + diffusion + reconstruction }
  }

  /// What was seen at one t.
  public struct AtTimestep: Sendable, Equatable {
    /// L_{t−1} (L_0 at t = 1), bits a dimension.
    public internal(set) var bits = Moments()
    /// Mean squared errors of ε̂ and of x̂_0, the data in [−1, 1].
    public internal(set) var εError = Moments()
    /// Mean squared error of x̂_0, the data in [−1, 1].
    public internal(set) var x0Error = Moments()
    /// L_T + Σ_{s>t} L_{s−1}: what has been sent when x̂_0 is made of x_t; bits a dimension.
    public internal(set) var rate = Moments()
  }

  /// In their order.
  public internal(set) var images: [ImageBound] = []
  /// At index t − 1.
  public internal(set) var timesteps: [AtTimestep]

  /// Those of no image yet.
  public init(T: Int) { timesteps = Array(repeating: AtTimestep(), count: T) }

  /// At t = 1…T.
  public subscript(t: Timestep) -> AtTimestep { timesteps[t.zeroBased] }

  /// L_T over images, bits a dimension.
  public var prior: Moments { Moments(images.map(\.prior)) }
  /// Σ_{t>1} L_{t−1} over images, bits a dimension.
  public var diffusion: Moments { Moments(images.map(\.diffusion)) }
  /// L_0 over images, bits a dimension.
  public var reconstruction: Moments { Moments(images.map(\.reconstruction)) }
  /// L, bits a dimension. Its standard error is that of the mean over images; where few t are drawn, their chance is part of it.
  public var total: Moments { Moments(images.map(\.total)) }

  /// Adds an image.
  ///
  /// - Parameters:
  ///   - prior: L_T in nats a dimension.
  ///   - terms: one for each visit, from large t to small.
  mutating func add(prior: Double, terms: [VariationalBound.Term], visits: [TimestepVisits.Visit]) {
    let prior = prior / log(2.0)
    var (sent, reconstruction) = (prior, 0.0)
    for (term, visit) in zip(terms, visits) {
      let i = visit.t.zeroBased
      timesteps[i].bits.add(term.bits)
      timesteps[i].εError.add(term.εError)
      timesteps[i].x0Error.add(term.x0Error)
      timesteps[i].rate.add(sent)
      if visit.t == 1 { reconstruction = term.bits } else { sent += visit.weight * term.bits }
    }
    images.append(ImageBound(prior: prior, diffusion: sent - prior, reconstruction: reconstruction))
  }
}
