import Diffusion
import Networks

// What the keys of a configuration are, for people: the one place to describe a new one. `TrainingConfiguration` declares and stores it,
// `validate()` bounds it, and the command takes its flag's help from here.

extension TrainingConfiguration.CodingKeys {
  /// One sentence.
  package var help: String {
    switch self {
    case .data: "A folder, an archive, an IDX file, points (moons, spiral, …), or 'glyphs'"
    case .imageSize: "Resize and centre-crop to squares of this side"
    case .channels: "1 for grey, 3 for colour"
    case .flip: "Mirror images at random"
    case .classes: "Condition on the class labels"
    case .conditionDropout:
      "Probability of training an image without its class, which guidance needs; 0 for no null class"
    case .superResolutionScale: "Learn to enlarge images so many times: the small one is shown beside the noise"
    case .skipBadImages: "Count and list damaged images instead of stopping"
    case .blockOutChannels: "Channels of each level, finest first"
    case .layersPerBlock: "Residual blocks of each level"
    case .attentionResolutions: "Image sides at which there is self-attention, such as 16,8"
    case .attentionHeadChannels: "Channels of an attention head"
    case .normGroups: "Groups of each group norm"
    case .dropout: "Probability of dropping a value in a residual block"
    case .initialization: "First weights: the paper's (ddpm) or PyTorch's (diffusers)"
    case .mlpWidth: "Of the network for points: numbers between its layers"
    case .mlpLayers: "Of the network for points: residual layers"
    case .timesteps: "Noise levels, T"
    case .betaSchedule: "The rule for β"
    case .betas: "β_1…β_T themselves"
    case .betaStart: "The first β"
    case .betaEnd: "The last β"
    case .rescaleBetas: "Multiply the first and the last β by 1000/T, so that fewer steps destroy as much"
    case .zeroTerminalSNR: "Rescale the schedule so that x_T is pure noise"
    case .prediction: "What the network predicts"
    case .variance: "Reverse variance"
    case .loss: "What is minimised; hybrid goes with learned_range"
    case .minSNRGamma: "γ of the loss min_snr"
    case .timestepSampling: "How t is drawn: importance goes by the losses so far"
    case .steps: "Steps to train"
    case .batchSize: "Images of each step"
    case .accumulate: "Compute each batch in so many parts, to save memory; the result is the same"
    case .learningRate: "Adam's learning rate"
    case .warmupSteps: "Steps of linear warm-up"
    case .decay: "What the learning rate does after the warm-up"
    case .adamBeta1: "Decay of Adam's mean"
    case .adamBeta2: "Decay of Adam's mean square"
    case .adamEpsilon: "Added to Adam's denominator"
    case .weightDecay: "Decoupled weight decay (AdamW)"
    case .gradientClip: "Largest norm of the gradient; 0 for no limit"
    case .emaDecay: "Decay of the moving average of the weights"
    case .emaWarmup: "Let the average's decay grow as (1 + k)/(10 + k) at first"
    case .seed: "Seed of weights, noise, t, dropout and shuffling"
    case .threads: "Threads that share the computation"
    case .device: "What computes: cpu, cuda, tpu or xla:PATH"
    case .precision: "How accurately: float32, bfloat16, or on accelerators fast32"
    case .deterministic: "On an accelerator leave out operations that add in an order of their own"
    case .logEvery: "Steps between lines of metrics"
    case .checkpointEvery: "Steps between checkpoints"
    case .keepCheckpoints: "Checkpoints to keep"
    case .sampleEvery: "Steps between sample grids; 0 for none"
    case .sampleCount: "Images of a sample grid"
    case .sampleSteps: "DDIM steps of a sample grid"
    case .sampleGuidance: "Guidance w of a sample grid, which classes that are dropped allow; 1 is the model itself"
    }
  }

  /// The names that it may have; nil where it is no name.
  package var choices: [String]? {
    switch self {
    case .initialization: WeightInitialization.allCases.map(\.rawValue)
    case .betaSchedule: BetaSchedule.Name.allCases.map(\.rawValue)
    case .prediction: Prediction.allCases.filter { $0 != .mean }.map(\.rawValue)
    case .variance: ReverseVariance.allCases.filter { $0 != .learned }.map(\.rawValue)
    case .loss: TrainingConfiguration.Loss.allCases.map(\.rawValue)
    case .timestepSampling: TrainingConfiguration.TimestepSampling.allCases.map(\.rawValue)
    case .decay: TrainingConfiguration.Decay.allCases.map(\.rawValue)
    default: nil
    }
  }

  /// What is taken where nobody sets it.
  package var usual: String {
    switch self {
    case .imageSize, .channels: "the data's own"
    case .flip: "where the data allows it"
    case .attentionResolutions: "the coarsest level's"
    case .attentionHeadChannels: "a single head"
    case .conditionDropout: "\(TrainingConfiguration.usualConditionDropout) where there are classes"
    case .superResolutionScale: "none"
    case .betas: "by the rule"
    case .threads: "as many processors as it may use"
    default:
      switch TrainingConfiguration().object[rawValue] {
      case .bool(let value): value ? "yes" : "no"
      case .string(let text): text
      case .array(let values): values.map(\.compactText).joined(separator: ",")
      case .some(let value): value.compactText
      case nil: "none"
      }
    }
  }
}
