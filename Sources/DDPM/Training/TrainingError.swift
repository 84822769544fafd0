import Files

/// Why a training run cannot start, or had to stop.
public enum TrainingError: Error, CustomStringConvertible, Sendable {
  /// The output directory holds a run already.
  case outputExists(String, obstacle: String)
  case nothingToResume(String)
  case damagedCheckpoint(String, String)
  /// An option that a resumed run may not change.
  case changed(key: String, from: String, to: String)
  case notFinite(step: Int, loss: Double, gradientNorm: Double, checkpoint: String?)
  case weightsNotFinite(step: Int, tensor: String, checkpoint: String?)
  case unsupportedNetwork(String)

  public var description: String {
    switch self {
    case .outputExists(let path, let obstacle):
      "\(path) already holds a model or a run, or files of such names (\(obstacle)): resume it, replace it, or choose another directory"
        .onOneLine
    case .nothingToResume(let path): "\(path): there is no checkpoint to resume from (looked for checkpoints/step-*)"
    case .damagedCheckpoint(let path, let problem): "\(path): damaged checkpoint: \(problem)".onOneLine
    case .changed(let key, let from, let to):
      "a resumed run cannot change \(key) from \(from) to \(to): leave it out, or start a new run"
    case .notFinite(let step, let loss, let norm, let checkpoint):
      "step \(step): the loss is \(loss) and the gradient's norm \(norm); stopped. "
        + (checkpoint.map { "The last checkpoint with finite weights is \($0). " } ?? "")
        + "A lower learning rate, a longer warm-up or a gradient clip of 1 may help"
    case .weightsNotFinite(let step, let tensor, let checkpoint):
      "step \(step): \(tensor) holds NaN or infinity; nothing was saved. "
        + (checkpoint.map { "The last checkpoint with finite weights is \($0). " } ?? "")
        + "A lower learning rate, a longer warm-up or a gradient clip of 1 may help"
    case .unsupportedNetwork(let problem): problem
    }
  }
}
