import Diffusion
import Networks

/// Everything that decides what a training run computes, and what it records. Written beside the model as `training.json`.
///
/// The defaults are the paper's recipe (Ho et al. 2020, appendix B) at a size for small images. A run is a function of this
/// value, the data and the number of threads.
public struct TrainingConfiguration: Codable, Equatable, Sendable {
  // MARK: Data
  /// A folder, an archive, an IDX file, or `glyphs`, the embedded characters.
  public var data = "glyphs"
  /// Side in pixels of the squares to train on; nil: the data's own.
  public var imageSize: Int?
  /// 1 for grey, 3 for colour; nil: the data's own.
  public var channels: Int?
  /// Whether images are mirrored at random; nil: where the data allows it.
  public var flip: Bool?
  /// Whether the network is conditioned on the class labels.
  public var classes = false
  /// The probability with which an image's class is replaced by the null class, so that the network learns both ε(x_t, c) and ε(x_t, ∅),
  /// as guidance needs (Ho & Salimans 2022); nil: 0.1 where there are classes. 0 trains no null class.
  public var conditionDropout: Double?
  /// Of how many times smaller an image the network is to make each image (SR3: the enlarged small one is shown beside x_t); nil: of none.
  public var superResolutionScale: Int?
  /// Whether damaged images are counted and left out; otherwise the first stops the run.
  public var skipBadImages = false

  // MARK: Network
  /// Channels of each level, finest first.
  public var blockOutChannels = [32, 64, 64]
  /// Residual blocks of each level on the way down; the way up has one more.
  public var layersPerBlock = 1
  /// Image sides in pixels at which there is self-attention; nil: the coarsest level's.
  public var attentionResolutions: [Int]?
  /// Channels of each attention head; nil: a single head.
  public var attentionHeadChannels: Int?
  /// Groups of the group norms.
  public var normGroups = 32
  /// The probability with which a residual block's values are dropped in training.
  public var dropout = 0.0
  /// How the first weights are drawn.
  public var initialization = WeightInitialization.ddpm
  /// Of the network for points: numbers between its layers.
  public var mlpWidth = 128
  /// Of the network for points: residual layers.
  public var mlpLayers = 4

  // MARK: Diffusion
  /// T, the number of noise levels.
  public var timesteps = 1000
  /// The rule for β_t.
  public var betaSchedule = BetaSchedule.Name.linear
  /// β_1…β_T themselves, in place of the rule.
  public var betas: [Double]?
  /// β_1, where the rule has one.
  public var betaStart = 1e-4
  /// β_T, where the rule has one.
  public var betaEnd = 0.02
  /// Whether β_t is multiplied by 1000/T, so that as much noise is added in fewer steps.
  public var rescaleBetas = false
  /// Whether the schedule is rescaled so that ᾱ_T = 0 (Lin et al. 2023); not with `epsilon`.
  public var zeroTerminalSNR = false
  /// What the network says of x_t: ε, x_0 or v.
  public var prediction = Prediction.epsilon
  /// σ_t² of the reverse step: β̃_t, β_t or learned between the two.
  public var variance = ReverseVariance.fixedLarge
  /// What is minimised.
  public var loss = Loss.simple
  /// γ of the loss `min_snr`.
  public var minSNRGamma = 5.0
  /// How the t of each image is drawn.
  public var timestepSampling = TimestepSampling.uniform

  // MARK: Optimisation
  /// Updates of the weights, from the start of the run.
  public var steps = 10_000
  /// Images of each step.
  public var batchSize = 64
  /// Parts in which a batch is computed, to save memory; a divisor of `batchSize`.
  public var accumulate = 1
  /// Adam's step size after the warm-up.
  public var learningRate = 2e-4
  /// Steps over which the learning rate rises from 0; 0: none.
  public var warmupSteps = 500
  /// What the learning rate does after the warm-up.
  public var decay = Decay.constant
  /// Decay of Adam's mean of gradients.
  public var adamBeta1 = 0.9
  /// Decay of Adam's mean of squared gradients.
  public var adamBeta2 = 0.999
  /// What Adam adds to the root of that mean.
  public var adamEpsilon = 1e-8
  /// Decoupled weight decay, as in AdamW; 0: none.
  public var weightDecay = 0.0
  /// The largest norm of the gradient over all weights; 0: no limit.
  public var gradientClip = 1.0
  /// Decay d of the moving average of the weights, which is the model.
  public var emaDecay = 0.9999
  /// Whether the decay at step k is min(d, (1 + k)/(10 + k)).
  public var emaWarmup = true

  // MARK: Run
  /// Seed of all randomness: weights, order of the data, t, ε, dropout and previews.
  public var seed = 0
  /// Threads that share the computation; nil: as many as there are processors that the process may use.
  public var threads: Int?
  /// What computes: `cpu`, `cuda`, `tpu` or `xla:PATH`.
  public var device = "cpu"
  /// How accurately: `float32`, `bfloat16`, or on accelerators `fast32`.
  public var precision = "float32"
  /// Whether accelerators leave out operations that add in an order of their own. The processor has none.
  public var deterministic = false

  // MARK: Records
  /// Steps between two lines of `metrics.jsonl`.
  public var logEvery = 50
  /// Steps between two checkpoints.
  public var checkpointEvery = 1000
  /// How many checkpoints are kept, the newest.
  public var keepCheckpoints = 2
  /// Steps between two grids of samples; 0: none.
  public var sampleEvery = 1000
  /// Images of each grid.
  public var sampleCount = 16
  /// Steps of DDIM that draw them.
  public var sampleSteps = 50
  /// The guidance scale w of these samples, where training drops classes; 1: none.
  public var sampleGuidance = 1.0

  /// The defaults.
  public init() {}

  /// What training makes small, by name.
  public enum Loss: String, Codable, Sendable, CaseIterable {
    /// ‖ε − ε_θ‖² (Ho et al. 2020, eq. 14), or the like for another prediction.
    case simple
    /// With min-SNR weights (Hang et al. 2023).
    case minSNR = "min_snr"
    /// With the weights of the bound.
    case bound
    /// For a learned variance (Nichol & Dhariwal 2021, eq. 16).
    case hybrid
  }

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
  package enum CodingKeys: String, CodingKey, CaseIterable {
    case data, channels, flip, classes
    case conditionDropout = "condition_dropout"
    case superResolutionScale = "super_resolution_scale"
    case imageSize = "image_size"
    case skipBadImages = "skip_bad_images"
    case blockOutChannels = "block_out_channels"
    case layersPerBlock = "layers_per_block"
    case attentionResolutions = "attention_resolutions"
    case attentionHeadChannels = "attention_head_channels"
    case normGroups = "norm_groups"
    case dropout, initialization
    case mlpWidth = "mlp_width"
    case mlpLayers = "mlp_layers"
    case timesteps
    case betaSchedule = "beta_schedule"
    case betas
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
    case seed, threads, device, precision, deterministic
    case logEvery = "log_every"
    case checkpointEvery = "checkpoint_every"
    case keepCheckpoints = "keep_checkpoints"
    case sampleEvery = "sample_every"
    case sampleCount = "sample_count"
    case sampleSteps = "sample_steps"
    case sampleGuidance = "sample_guidance"
  }
}

extension Prediction: Codable {}
extension ReverseVariance: Codable {}
extension WeightInitialization: Codable {}

/// A configuration that cannot be trained: one line that names the quantity and what would work.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
  /// One line that names the quantity, its value and what would work.
  public let description: String
  /// The key of the quantity in configuration files, where it is one.
  public let key: String?

  /// - Parameter key: of the quantity in configuration files; nil where it is none.
  public init(_ description: String, key: String? = nil) {
    self.description = description
    self.key = key
  }
}
