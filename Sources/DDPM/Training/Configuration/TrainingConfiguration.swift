import Diffusion
import Networks

/// Everything that decides what a training run computes, and what it records. Written beside the model as `training.json`.
///
/// The defaults are the paper's recipe (Ho et al. 2020, appendix B) at a size for small images. A run is a function of this
/// value, the data and the number of threads.
public struct TrainingConfiguration: Codable, Equatable, Sendable {
  // MARK: Data
  public var data = "glyphs"  // a folder, an archive, an IDX file or glyphs
  public var imageSize: Int?  // side of the squares to train on; nil: the data's own
  public var channels: Int?  // 1 grey, 3 colour; nil: the data's own
  public var flip: Bool?  // mirror at random; nil: where the data allows it
  public var classes = false  // condition on the class labels
  public var skipBadImages = false  // count damaged images instead of stopping

  // MARK: Network
  public var blockOutChannels = [32, 64, 64]  // channels of each level, finest first
  public var layersPerBlock = 1  // residual blocks of each level
  public var attentionResolutions: [Int]?  // image sides at which there is self-attention; nil: the coarsest level's
  public var attentionHeadChannels: Int?  // nil: a single head
  public var normGroups = 32
  public var dropout = 0.0
  public var initialization = "ddpm"  // ddpm (the paper's) or diffusers

  // MARK: Diffusion
  public var timesteps = 1000  // T
  public var betaSchedule = "linear"
  public var betaStart = 1e-4
  public var betaEnd = 0.02
  public var rescaleBetas = false  // multiply β by 1000/T
  public var zeroTerminalSNR = false
  public var prediction = "epsilon"  // epsilon, sample, v_prediction
  public var variance = "fixed_large"  // fixed_small, fixed_large, learned_range
  public var loss = "simple"  // simple, min_snr, bound, hybrid
  public var minSNRGamma = 5.0
  public var timestepSampling = TimestepSampling.uniform

  // MARK: Optimisation
  public var steps = 10_000
  public var batchSize = 64  // images of each step
  public var accumulate = 1  // parts in which a batch is computed, to save memory
  public var learningRate = 2e-4
  public var warmupSteps = 500
  public var decay = Decay.constant
  public var adamBeta1 = 0.9
  public var adamBeta2 = 0.999
  public var adamEpsilon = 1e-8
  public var weightDecay = 0.0  // decoupled: AdamW
  public var gradientClip = 1.0  // largest norm of the gradient; 0: no limit
  public var emaDecay = 0.9999
  public var emaWarmup = true  // decay min(d, (1 + k)/(10 + k)) at step k

  // MARK: Run
  public var seed = 0
  public var threads: Int?  // nil: all processors
  public var deterministic = false  // algorithms by a fixed rule instead of by timing

  // MARK: Records
  public var logEvery = 50
  public var checkpointEvery = 1000
  public var keepCheckpoints = 2
  public var sampleEvery = 1000  // 0: none
  public var sampleCount = 16
  public var sampleSteps = 50  // of DDIM

  public init() {}

  /// How t is drawn.
  public enum TimestepSampling: String, Codable, Sendable, CaseIterable {
    case uniform
    /// In proportion to √E[L_t²], with weights that keep the gradient unbiased (Nichol & Dhariwal 2021, section 3.3).
    case importance
  }

  /// What follows the warm-up.
  public enum Decay: String, Codable, Sendable, CaseIterable {
    case constant
    /// Half a cosine down to zero at the last step.
    case cosine
  }

  /// The names in files: those of the command's options, with underscores.
  enum CodingKeys: String, CodingKey, CaseIterable {
    case data, channels, flip, classes
    case imageSize = "image_size"
    case skipBadImages = "skip_bad_images"
    case blockOutChannels = "block_out_channels"
    case layersPerBlock = "layers_per_block"
    case attentionResolutions = "attention_resolutions"
    case attentionHeadChannels = "attention_head_channels"
    case normGroups = "norm_groups"
    case dropout, initialization
    case timesteps
    case betaSchedule = "beta_schedule"
    case betaStart = "beta_start"
    case betaEnd = "beta_end"
    case rescaleBetas = "rescale_betas"
    case zeroTerminalSNR = "zero_terminal_snr"
    case prediction, variance, loss
    case minSNRGamma = "min_snr_gamma"
    case timestepSampling = "timestep_sampling"
    case steps
    case batchSize = "batch_size"
    case accumulate
    case learningRate = "learning_rate"
    case warmupSteps = "warmup_steps"
    case decay
    case adamBeta1 = "adam_beta1"
    case adamBeta2 = "adam_beta2"
    case adamEpsilon = "adam_epsilon"
    case weightDecay = "weight_decay"
    case gradientClip = "gradient_clip"
    case emaDecay = "ema_decay"
    case emaWarmup = "ema_warmup"
    case seed, threads, deterministic
    case logEvery = "log_every"
    case checkpointEvery = "checkpoint_every"
    case keepCheckpoints = "keep_checkpoints"
    case sampleEvery = "sample_every"
    case sampleCount = "sample_count"
    case sampleSteps = "sample_steps"
  }
}

/// A configuration that cannot be trained: one line that names the option and what would work.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
  public let description: String

  public init(_ description: String) { self.description = description }
}
