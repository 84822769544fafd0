import ArgumentParser
import DDPM
import Files

// The options of `ddpm train`, by topic: one line each. What a key means, its usual value and its choices stand in
// `TrainingConfiguration+Options.swift`.

/// A group of options, each named as a key of configuration files is.
protocol TrainingOptionGroup: ParsableArguments {}

extension TrainingOptionGroup {
  /// The keys that were given, by their names in files.
  var object: [String: JSONValue] {
    var object: [String: JSONValue] = [:]
    for child in Mirror(reflecting: self).children {
      // A property wrapper is stored under an underscore.
      guard let label = child.label, let key = TrainingConfiguration.CodingKeys(property: label.drop { $0 == "_" }),
        let option = child.value as? any GivenOption, let value = option.json
      else { continue }
      object[key.rawValue] = value
    }
    return object
  }
}

extension TrainingConfiguration.CodingKeys {
  /// The key of a property: `batchSize` for `batch_size`.
  init?(property: Substring) {
    let wanted = property.lowercased()
    let found = Self.allCases.first { $0.rawValue.replacing("_", with: "") == wanted }
    guard let found else { return nil }
    self = found
  }
}

/// An option that may have been given.
private protocol GivenOption { var json: JSONValue? { get } }

extension Option: GivenOption {
  fileprivate var json: JSONValue? { (wrappedValue as? any TrainingValue)?.given }
}

extension Flag: GivenOption {
  fileprivate var json: JSONValue? { (wrappedValue as? any TrainingValue)?.given }
}

/// What an option's value becomes in a configuration.
private protocol TrainingValue { var given: JSONValue? { get } }

extension Optional: TrainingValue where Wrapped: TrainingValue {
  fileprivate var given: JSONValue? { flatMap(\.given) }
}
extension Int: TrainingValue { fileprivate var given: JSONValue? { .integer(self) } }
extension Double: TrainingValue { fileprivate var given: JSONValue? { .number(self) } }
extension Bool: TrainingValue { fileprivate var given: JSONValue? { .bool(self) } }
extension String: TrainingValue { fileprivate var given: JSONValue? { .string(self) } }
extension IntegerList: TrainingValue { fileprivate var given: JSONValue? { .array(values.map { .integer($0) }) } }

extension ArgumentHelp {
  /// What the configuration says of a key.
  fileprivate static func of(_ key: TrainingConfiguration.CodingKeys, _ valueName: String? = nil) -> ArgumentHelp {
    let choices = key.choices.map { ": " + $0.joined(separator: ", ") } ?? ""
    return ArgumentHelp("\(key.help)\(choices) (default: \(key.usual)).", valueName: valueName)
  }
}

/// `128,256,256` as integers.
struct IntegerList: ExpressibleByArgument {
  let values: [Int]

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    let values = parts.compactMap { Int($0.filter { $0 != " " }) }
    guard !values.isEmpty, values.count == parts.count else { return nil }
    self.values = values
  }
}

struct DataOptions: TrainingOptionGroup {
  @Option(help: .of(.data, "path")) var data: String?
  @Option(help: .of(.imageSize, "pixels")) var imageSize: Int?
  @Option(help: .of(.channels, "n")) var channels: Int?
  @Flag(inversion: .prefixedNo, help: .of(.flip)) var flip: Bool?
  @Flag(inversion: .prefixedNo, help: .of(.classes)) var classes: Bool?
  @Option(help: .of(.conditionDropout, "p")) var conditionDropout: Double?
  @Option(help: .of(.superResolutionScale, "n")) var superResolutionScale: Int?
  @Flag(inversion: .prefixedNo, help: .of(.skipBadImages)) var skipBadImages: Bool?
}

struct NetworkOptions: TrainingOptionGroup {
  @Option(help: .of(.blockOutChannels, "list")) var blockOutChannels: IntegerList?
  @Option(help: .of(.layersPerBlock, "n")) var layersPerBlock: Int?
  @Option(help: .of(.attentionResolutions, "list")) var attentionResolutions: IntegerList?
  @Option(help: .of(.attentionHeadChannels, "n")) var attentionHeadChannels: Int?
  @Option(help: .of(.normGroups, "n")) var normGroups: Int?
  @Option(help: .of(.dropout, "p")) var dropout: Double?
  @Option(help: .of(.initialization, "name")) var initialization: String?
  @Option(help: .of(.mlpWidth, "n")) var mlpWidth: Int?
  @Option(help: .of(.mlpLayers, "n")) var mlpLayers: Int?
}

struct DiffusionOptions: TrainingOptionGroup {
  @Option(help: .of(.timesteps, "n")) var timesteps: Int?
  @Option(help: .of(.betaSchedule, "name")) var betaSchedule: String?
  @Option(help: .of(.betaStart, "β")) var betaStart: Double?
  @Option(help: .of(.betaEnd, "β")) var betaEnd: Double?
  @Flag(inversion: .prefixedNo, help: .of(.rescaleBetas)) var rescaleBetas: Bool?
  @Flag(inversion: .prefixedNo, help: .of(.zeroTerminalSNR)) var zeroTerminalSnr: Bool?
  @Option(help: .of(.prediction, "name")) var prediction: String?
  @Option(help: .of(.variance, "name")) var variance: String?
  @Option(help: .of(.loss, "name")) var loss: String?
  @Option(help: .of(.minSNRGamma, "γ")) var minSnrGamma: Double?
  @Option(help: .of(.timestepSampling, "name")) var timestepSampling: String?
}

struct OptimisationOptions: TrainingOptionGroup {
  @Option(help: .of(.steps, "n")) var steps: Int?
  @Option(help: .of(.batchSize, "n")) var batchSize: Int?
  @Option(help: .of(.accumulate, "n")) var accumulate: Int?
  @Option(help: .of(.learningRate, "η")) var learningRate: Double?
  @Option(help: .of(.warmupSteps, "n")) var warmupSteps: Int?
  @Option(help: .of(.decay, "name")) var decay: String?
  @Option(help: .of(.adamBeta1, "β₁")) var adamBeta1: Double?
  @Option(help: .of(.adamBeta2, "β₂")) var adamBeta2: Double?
  @Option(help: .of(.adamEpsilon, "ε")) var adamEpsilon: Double?
  @Option(help: .of(.weightDecay, "λ")) var weightDecay: Double?
  @Option(help: .of(.gradientClip, "c")) var gradientClip: Double?
  @Option(help: .of(.emaDecay, "d")) var emaDecay: Double?
  @Flag(inversion: .prefixedNo, help: .of(.emaWarmup)) var emaWarmup: Bool?
  @Option(help: .of(.seed, "n")) var seed: Int?
}

struct RecordOptions: TrainingOptionGroup {
  @Option(help: .of(.logEvery, "n")) var logEvery: Int?
  @Option(help: .of(.checkpointEvery, "n")) var checkpointEvery: Int?
  @Option(help: .of(.keepCheckpoints, "n")) var keepCheckpoints: Int?
  @Option(help: .of(.sampleEvery, "n")) var sampleEvery: Int?
  @Option(help: .of(.sampleCount, "n")) var sampleCount: Int?
  @Option(help: .of(.sampleSteps, "n")) var sampleSteps: Int?
  @Option(help: .of(.sampleGuidance, "w")) var sampleGuidance: Double?
}
