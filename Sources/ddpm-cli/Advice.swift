import DDPM

/// What to type: the library names quantities, the command knows its flags.
enum Advice {
  /// The flag that helps against an error, in brackets; nil where the message says all.
  static func flag(for error: any Error) -> String? {
    switch error {
    case let error as ConfigurationError: error.key.map { "--" + $0.replacing("_", with: "-") }
    case let error as SamplingError: flag(for: error)
    case TrainingError.outputExists(let path, _): "--resume \(path), --force or --out"
    case TrainingError.changed(let key, _, _): "--" + key.replacing("_", with: "-")
    case TrainingError.notFinite, TrainingError.weightsNotFinite: "--learning-rate, --warmup-steps, --gradient-clip"
    case let error as EditError: flag(for: error)
    case GuidanceRequestError.weakerWithoutScale: "--guidance"
    case GuidanceRequestError.otherModel: "--weaker"
    case EvaluationError.noLabel: "--class"
    case EvaluationError.limit, EvaluationError.tooManyImages: "--limit"
    case EvaluationError.timesteps: "--timesteps"
    case EvaluationError.timestep: "--at"
    case EvaluationError.batchSize: "--batch-size"
    default: nil
    }
  }

  private static func flag(for error: EditError) -> String? {
    switch error {
    case .size, .maskSize: "--fit"
    case .scale: "--super-resolution"
    case .mask: "--mask"
    case .grey: "--colourise"
    case .strength: "--strength"
    case .steps: "--steps"
    case .enlarges: nil
    }
  }

  private static func flag(for error: SamplingError) -> String? {
    switch error {
    case .steps: "--steps"
    case .count: "--count"
    case .batchSize, .tooLarge: "--batch-size"
    case .eta, .etaWithout: "--eta"
    case .variance, .varianceWithout: "--variance"
    case .noClasses, .classMissing, .classCount, .label, .className: "--class"
    case .noNullClass: "--condition-dropout of ddpm train"
    case .unsupportedClasses, .noiseLevels: "ddpm run"
    default: nil
    }
  }
}
