import ArgumentParser
import DDPM
import Datasets
import Files

// The options of `ddpm train`, by topic. Each group gives the keys that were set, by their names in configuration files.

/// What holds for options that neither the command line nor a file nor a preset sets.
private let defaults = TrainingConfiguration()

/// Collects the options that were given.
private func given(_ pairs: [(String, JSONValue?)]) -> [String: JSONValue] {
  Dictionary(pairs.compactMap { key, value in value.map { (key, $0) } }, uniquingKeysWith: { _, last in last })
}

private func integer(_ value: Int?) -> JSONValue? { value.map { .integer($0) } }
private func number(_ value: Double?) -> JSONValue? { value.map { .number($0) } }
private func text(_ value: String?) -> JSONValue? { value.map { .string($0) } }
private func list(_ values: [Int]) -> String { values.map(String.init).joined(separator: ",") }
private func bool(_ value: Bool?) -> JSONValue? { value.map { .bool($0) } }

/// `128,256,256` as integers.
struct IntegerList: ExpressibleByArgument {
  let values: [Int]

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    let values = parts.compactMap { Int($0.filter { $0 != " " }) }
    guard !values.isEmpty, values.count == parts.count else { return nil }
    self.values = values
  }

  var json: JSONValue { .array(values.map { .integer($0) }) }
}

struct DataOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("A folder, an archive, an IDX file, or 'glyphs' (default: \(defaults.data)).", valueName: "path")
  )
  var data: String?
  @Option(
    help: ArgumentHelp(
      "Resize and centre-crop to squares of this side (default: the data's own size).", valueName: "pixels"))
  var imageSize: Int?
  @Option(help: ArgumentHelp("1 for grey, 3 for colour (default: as the data).", valueName: "n"))
  var channels: Int?
  @Flag(inversion: .prefixedNo, help: "Mirror images at random (default: where the data allows it).")
  var flip: Bool?
  @Flag(inversion: .prefixedNo, help: "Condition on the class labels (default: no).")
  var classes: Bool?
  @Flag(inversion: .prefixedNo, help: "Count and list damaged images instead of stopping (default: no).")
  var skipBadImages: Bool?

  var object: [String: JSONValue] {
    given([
      ("data", text(data)), ("image_size", integer(imageSize)), ("channels", integer(channels)), ("flip", bool(flip)),
      ("classes", bool(classes)), ("skip_bad_images", bool(skipBadImages)),
    ])
  }
}

struct NetworkOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Channels of each level, finest first (default: \(list(defaults.blockOutChannels))).", valueName: "list"))
  var blockOutChannels: IntegerList?
  @Option(help: ArgumentHelp("Residual blocks of each level (default: \(defaults.layersPerBlock)).", valueName: "n"))
  var layersPerBlock: Int?
  @Option(
    help: ArgumentHelp(
      "Image sides at which there is self-attention, such as 16,8 (default: the coarsest level's).", valueName: "list"))
  var attentionResolutions: IntegerList?
  @Option(help: ArgumentHelp("Channels of an attention head (default: a single head).", valueName: "n"))
  var attentionHeadChannels: Int?
  @Option(help: ArgumentHelp("Groups of each group norm (default: \(defaults.normGroups)).", valueName: "n"))
  var normGroups: Int?
  @Option(
    help: ArgumentHelp(
      "Probability of dropping a value in a residual block (default: \(defaults.dropout)).", valueName: "p"))
  var dropout: Double?
  @Option(
    help: ArgumentHelp(
      "First weights: ddpm (the paper's) or diffusers (PyTorch's) (default: \(defaults.initialization)).",
      valueName: "name"))
  var initialization: String?

  var object: [String: JSONValue] {
    given([
      ("block_out_channels", blockOutChannels?.json), ("layers_per_block", integer(layersPerBlock)),
      ("attention_resolutions", attentionResolutions?.json),
      ("attention_head_channels", integer(attentionHeadChannels)), ("norm_groups", integer(normGroups)),
      ("dropout", number(dropout)), ("initialization", text(initialization)),
    ])
  }
}

struct DiffusionOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Noise levels, T (default: \(defaults.timesteps)).", valueName: "n"))
  var timesteps: Int?
  @Option(
    help: ArgumentHelp(
      "linear, scaled_linear, squaredcos_cap_v2, sigmoid, laplace, const, jsd, warmup10 or warmup50 (default: \(defaults.betaSchedule)).",
      valueName: "name"))
  var betaSchedule: String?
  @Option(help: ArgumentHelp("The first β (default: \(defaults.betaStart)).", valueName: "β"))
  var betaStart: Double?
  @Option(help: ArgumentHelp("The last β (default: \(defaults.betaEnd)).", valueName: "β"))
  var betaEnd: Double?
  @Flag(
    inversion: .prefixedNo,
    help: "Multiply the first and the last β by 1000/T, so that fewer steps destroy as much (default: no).")
  var rescaleBetas: Bool?
  @Flag(inversion: .prefixedNo, help: "Rescale the schedule so that x_T is pure noise (default: no).")
  var zeroTerminalSnr: Bool?
  @Option(
    help: ArgumentHelp(
      "What the network predicts: epsilon, sample or v_prediction (default: \(defaults.prediction)).", valueName: "name"
    ))
  var prediction: String?
  @Option(
    help: ArgumentHelp(
      "Reverse variance: fixed_small, fixed_large or learned_range (default: \(defaults.variance)).", valueName: "name")
  )
  var variance: String?
  @Option(
    help: ArgumentHelp(
      "simple, min_snr, bound, or hybrid for learned_range (default: \(defaults.loss)).", valueName: "name"))
  var loss: String?
  @Option(help: ArgumentHelp("γ of the loss min_snr (default: \(defaults.minSNRGamma)).", valueName: "γ"))
  var minSnrGamma: Double?
  @Option(
    help: ArgumentHelp(
      "How t is drawn: uniform, or importance by the losses so far (default: \(defaults.timestepSampling.rawValue)).",
      valueName: "name"))
  var timestepSampling: String?

  var object: [String: JSONValue] {
    given([
      ("timesteps", integer(timesteps)), ("beta_schedule", text(betaSchedule)), ("beta_start", number(betaStart)),
      ("beta_end", number(betaEnd)), ("rescale_betas", bool(rescaleBetas)),
      ("zero_terminal_snr", bool(zeroTerminalSnr)), ("prediction", text(prediction)),
      ("variance", text(variance)), ("loss", text(loss)), ("min_snr_gamma", number(minSnrGamma)),
      ("timestep_sampling", text(timestepSampling)),
    ])
  }
}

struct OptimisationOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Steps to train (default: \(defaults.steps)).", valueName: "n"))
  var steps: Int?
  @Option(help: ArgumentHelp("Images of each step (default: \(defaults.batchSize)).", valueName: "n"))
  var batchSize: Int?
  @Option(
    help: ArgumentHelp(
      "Compute each batch in so many parts, to save memory; the result is the same (default: \(defaults.accumulate)).",
      valueName: "n"))
  var accumulate: Int?
  @Option(help: ArgumentHelp("Adam's learning rate (default: \(defaults.learningRate)).", valueName: "η"))
  var learningRate: Double?
  @Option(help: ArgumentHelp("Steps of linear warm-up (default: \(defaults.warmupSteps)).", valueName: "n"))
  var warmupSteps: Int?
  @Option(
    help: ArgumentHelp(
      "After the warm-up: constant, or cosine down to 0 (default: \(defaults.decay.rawValue)).", valueName: "name"))
  var decay: String?
  @Option(help: ArgumentHelp("Decay of Adam's mean (default: \(defaults.adamBeta1)).", valueName: "β₁"))
  var adamBeta1: Double?
  @Option(help: ArgumentHelp("Decay of Adam's mean square (default: \(defaults.adamBeta2)).", valueName: "β₂"))
  var adamBeta2: Double?
  @Option(help: ArgumentHelp("Added to Adam's denominator (default: \(defaults.adamEpsilon)).", valueName: "ε"))
  var adamEpsilon: Double?
  @Option(help: ArgumentHelp("Decoupled weight decay (AdamW) (default: \(defaults.weightDecay)).", valueName: "λ"))
  var weightDecay: Double?
  @Option(
    help: ArgumentHelp(
      "Largest norm of the gradient; 0 for no limit (default: \(defaults.gradientClip)).", valueName: "c"))
  var gradientClip: Double?
  @Option(
    help: ArgumentHelp("Decay of the moving average of the weights (default: \(defaults.emaDecay)).", valueName: "d"))
  var emaDecay: Double?
  @Flag(
    inversion: .prefixedNo,
    help: "Let the average's decay grow as (1 + k)/(10 + k) at first (default: \(defaults.emaWarmup ? "yes" : "no")).")
  var emaWarmup: Bool?
  @Option(
    help: ArgumentHelp("Seed of weights, noise, t, dropout and shuffling (default: \(defaults.seed)).", valueName: "n"))
  var seed: Int?

  var object: [String: JSONValue] {
    given([
      ("steps", integer(steps)), ("batch_size", integer(batchSize)), ("accumulate", integer(accumulate)),
      ("learning_rate", number(learningRate)), ("warmup_steps", integer(warmupSteps)), ("decay", text(decay)),
      ("adam_beta1", number(adamBeta1)), ("adam_beta2", number(adamBeta2)), ("adam_epsilon", number(adamEpsilon)),
      ("weight_decay", number(weightDecay)), ("gradient_clip", number(gradientClip)), ("ema_decay", number(emaDecay)),
      ("ema_warmup", bool(emaWarmup)), ("seed", integer(seed)),
    ])
  }
}

struct RecordOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Steps between lines of metrics (default: \(defaults.logEvery)).", valueName: "n"))
  var logEvery: Int?
  @Option(help: ArgumentHelp("Steps between checkpoints (default: \(defaults.checkpointEvery)).", valueName: "n"))
  var checkpointEvery: Int?
  @Option(help: ArgumentHelp("Checkpoints to keep (default: \(defaults.keepCheckpoints)).", valueName: "n"))
  var keepCheckpoints: Int?
  @Option(
    help: ArgumentHelp("Steps between sample grids; 0 for none (default: \(defaults.sampleEvery)).", valueName: "n"))
  var sampleEvery: Int?
  @Option(help: ArgumentHelp("Images of a sample grid (default: \(defaults.sampleCount)).", valueName: "n"))
  var sampleCount: Int?
  @Option(help: ArgumentHelp("DDIM steps of a sample grid (default: \(defaults.sampleSteps)).", valueName: "n"))
  var sampleSteps: Int?

  var object: [String: JSONValue] {
    given([
      ("log_every", integer(logEvery)), ("checkpoint_every", integer(checkpointEvery)),
      ("keep_checkpoints", integer(keepCheckpoints)), ("sample_every", integer(sampleEvery)),
      ("sample_count", integer(sampleCount)), ("sample_steps", integer(sampleSteps)),
    ])
  }
}
