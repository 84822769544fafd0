import DDPM
import Datasets
import Diffusers
import Diffusion
import Files
import Networks
import Platform
import TestSupport

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Independent N(m, s²) in every dimension, and what is known of it: the best ε̂, and the best variance.
struct GaussianOptimum: Denoiser {
  let schedule: NoiseSchedule
  let m = -0.3
  let s² = 0.09
  /// Added to ε̂, for a denoiser that is not the best.
  var flaw = 0.0

  static let shape = Images.Shape(1, 1, 4, 4)

  /// Image i.
  func image(_ i: Int) -> EvaluationImage {
    let z = CounterNoise(seed: 5, firstSample: i, stream: .initialization).initialNoise(shape: Self.shape)
    return EvaluationImage(x0: z.map { Float(m + s².squareRoot() * Double($0)) })
  }

  /// [ε̂, ln σ²], for ``ReverseVariance/learned``.
  func predict(_ xt: Images, at t: [Timestep], given condition: Condition) -> Images {
    var shape = xt.shape
    shape.channels = 2
    return Images(
      shape: shape,
      scalars: t.indices.flatMap { n -> [Float] in
        let ᾱ = schedule.ᾱ[t[n]]
        // x_t ~ N(√ᾱ m, ᾱ s² + 1 − ᾱ)
        let variance = ᾱ * s² + 1 - ᾱ
        let ε = xt[sample: n].map {
          Float((1 - ᾱ).squareRoot() * (Double($0) - ᾱ.squareRoot() * m) / variance + flaw * sin(9 * Double($0)))
        }
        // Var(x_{t−1} | x_t) = β̃ + c² Var(x_0 | x_t)
        let c = schedule.posterior(t[n]).x0Coefficient
        let spread = schedule.posteriorVariance(t[n]) + c * c * s² * (1 - ᾱ) / variance
        return ε.scalars + [Float](repeating: Float(log(spread)), count: xt.shape.dimension)
      })
  }

  /// The bound at best, in bits a dimension: ½ log₂(2πe s²) + KL(q(x_T) ‖ N(0, 1)).
  var bits: Double {
    let ᾱ = schedule.ᾱ[schedule.last]
    let (mean, variance) = (ᾱ.squareRoot() * m, ᾱ * s² + 1 - ᾱ)
    return (0.5 * log(2 * Double.pi * s²) + 0.5 + 0.5 * (variance + mean * mean - 1 - log(variance))) / log(2.0)
  }

  func bound() throws -> VariationalBound {
    VariationalBound(
      try ReverseProcess(schedule: schedule, variance: .learned, limit: .none), decoder: .density)
  }
}

/// A denoiser of Gaussian data with a fixed variance, for what is not the optimum's business.
struct SimpleDenoiser: Denoiser {
  let schedule: NoiseSchedule

  func predict(_ xt: Images, at t: [Timestep], given condition: Condition) -> Images {
    Images(
      joining: t.indices.map { n in
        let ᾱ = schedule.ᾱ[t[n]]
        return ((1 - ᾱ).squareRoot() / (ᾱ * 0.3 + 1 - ᾱ)) * xt[sample: n].map { $0 + 0.1 * sin(5 * $0) }
      })
  }
}

/// A folder that goes when the test does, and a model in it.
struct EvaluationFolder {
  private let folder: TemporaryFolder
  var url: URL { folder.url }

  init() throws { folder = try TemporaryFolder() }

  /// A small model for 16×16 glyphs, with T = 20 and first weights.
  ///
  /// - Parameter classes: rows of its class table.
  func model(
    classes: Int? = nil, channels: (in: Int, out: Int) = (1, 1), scheduler keys: [String: JSONValue] = [:],
    card: ModelCard = ModelCard(), scaledBy factor: Float = 1
  ) throws -> URL {
    var config = UNetConfig()
    config.sampleSize = .init(height: 16, width: 16)
    (config.inChannels, config.outChannels) = channels
    config.blockOutChannels = [8, 16]
    config.downBlocks = [.plain, .plain]
    config.upBlocks = [.plain, .plain]
    config.layersPerBlock = 1
    config.normGroups = 4
    config.attentionHeadChannels = nil
    if let classes { config.classEmbedding = .learned(count: classes) }
    var scheduler: [String: JSONValue] = [
      "_class_name": "DDPMScheduler", "num_train_timesteps": 20, "beta_start": 0.005, "beta_end": 0.4,
      "variance_type": "fixed_large",
    ]
    scheduler.merge(keys) { _, new in new }
    let directory = url.appending(path: "model")
    let weights = try NetworkWeights(initializing: config, by: .diffusers, seed: 3).tensors.map { tensor in
      guard factor != 1, case .floats(let values) = tensor.values else { return tensor }
      return NamedTensor(tensor.name, shape: tensor.shape, floats: values.map { factor * $0 })
    }
    try PipelineDirectory(network: config, scheduler: scheduler, card: card).write(weights, to: directory)
    return directory
  }
}

extension NetworkWeights {
  /// All of them, as a file has them.
  var tensors: [NamedTensor] {
    get throws {
      try zip(parameters, 0...).map { parameter, i in
        NamedTensor(parameter.name, shape: parameter.shape.dimensions, floats: try self[i].floats)
      }
    }
  }
}
