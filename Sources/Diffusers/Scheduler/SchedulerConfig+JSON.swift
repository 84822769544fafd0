import Diffusion
import Files

extension SchedulerConfig {
  /// Reads a `scheduler_config.json`.
  ///
  /// - Throws: ``SchedulerConfigError``, or `JSONError` where the text is not JSON.
  public init(json text: String) throws {
    guard let members = try JSONValue(parsing: text).object else { throw SchedulerConfigError.notAnObject }
    try self.init(members)
  }

  public init(_ members: [String: JSONValue]) throws(SchedulerConfigError) {
    var reader = Reader(members)
    let name = try reader.string("_class_name") ?? Kind.ddpm.rawValue
    guard let kind = Kind(rawValue: name) else { throw .unknownClass(name) }
    self.init(kind)

    T = try reader.integer("num_train_timesteps", in: 1...1_000_000) ?? T
    betaStart = try reader.number("beta_start") ?? betaStart
    betaEnd = try reader.number("beta_end") ?? betaEnd
    if let name = try reader.string("beta_schedule") {
      guard let found = BetaSchedule.Name(alias: name) else {
        throw .value(key: "beta_schedule", found: name, allowed: BetaSchedule.Name.allCases.map(\.rawValue))
      }
      betaSchedule = found
    }
    betas = try reader.numbers("trained_betas")
    zeroTerminalSNR = try reader.bool("rescale_betas_zero_snr") ?? zeroTerminalSNR
    prediction = try reader.choice("prediction_type") ?? prediction
    thresholds = try reader.bool("thresholding") ?? thresholds
    thresholdRatio =
      try reader.number("dynamic_thresholding_ratio", "a number from 0 to 1") { 0 <= $0 && $0 <= 1 } ?? thresholdRatio
    thresholdMaximum =
      try reader.number("sample_max_value", "a finite number from 1") { 1 <= $0 && $0.isFinite } ?? thresholdMaximum
    spacing = try reader.choice("timestep_spacing") ?? spacing
    stepsOffset = try reader.integer("steps_offset", in: 0...T) ?? stepsOffset

    if kind != .dpmSolver {
      clipsSample = try reader.bool("clip_sample") ?? clipsSample
      clipRange = try reader.number("clip_sample_range") ?? clipRange
    }
    if kind != .ddim { try readVariance(&reader) }
    if kind == .ddim { finalAlphaIsOne = try reader.bool("set_alpha_to_one") ?? finalAlphaIsOne }
    if kind == .dpmSolver { try readSolver(&reader) }
    try readOldKeys(&reader)
    others = try reader.rest()
  }

  private mutating func readVariance(_ reader: inout Reader) throws(SchedulerConfigError) {
    guard let name = try reader.string("variance_type") else { return }
    switch name {
    // The same σ by another road. (diffusers' own fixed_large_log takes the root of a logarithm and yields NaN.)
    case "fixed_small_log": variance = .fixedSmall
    case "fixed_large_log": variance = .fixedLarge
    default:
      guard let found = ReverseVariance(rawValue: name) else {
        throw .value(key: "variance_type", found: name, allowed: ReverseVariance.allCases.map(\.rawValue))
      }
      // Networks with this variance say ln σ², and are read so here; diffusers' DDPMScheduler takes the output as σ² itself.
      if found == .learned && kind == .ddpm {
        throw .unsupported(
          key: "variance_type", found: name, advice: "use learned_range, or a fixed variance if the network has none")
      }
      variance = found
    }
  }

  private mutating func readSolver(_ reader: inout Reader) throws(SchedulerConfigError) {
    order = try reader.integer("solver_order", in: 1...3) ?? order
    if order > 2 {
      throw .unsupported(key: "solver_order", found: "\(order)", advice: "use 2, the order advised for guided sampling")
    }
    if let name = try reader.string("algorithm_type"), name != "dpmsolver++" {
      throw .unsupported(key: "algorithm_type", found: name, advice: "use dpmsolver++")
    }
    correction = try reader.choice("solver_type") ?? correction
    lowerOrderFinal = try reader.bool("lower_order_final") ?? lowerOrderFinal
    eulerAtFinal = try reader.bool("euler_at_final") ?? eulerAtFinal
    if let name = try reader.string("final_sigmas_type") {
      guard name == "zero" || name == "sigma_min" else {
        throw .value(key: "final_sigmas_type", found: name, allowed: ["zero", "sigma_min"])
      }
      finalSigmaIsZero = name == "zero"
    }
    minimumλ = try reader.number("lambda_min_clipped") ?? minimumλ
    for key in [
      "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas",
      "use_dynamic_shifting",
    ] {
      if try reader.bool(key) == true {
        throw .unsupported(key: key, found: "true", advice: "set it to false and choose a timestep_spacing")
      }
    }
    // Without use_flow_sigmas and use_dynamic_shifting these two do nothing.
    if let shift = try reader.number("flow_shift") { reader.keep("flow_shift", .number(shift)) }
    reader.ignore("time_shift_type")
  }

  /// Keys of versions before 0.10, and keys of the other two classes, which diffusers too passes over.
  private func readOldKeys(_ reader: inout Reader) throws(SchedulerConfigError) {
    if try reader.bool("predict_epsilon") == false && prediction == .epsilon {
      throw .unsupported(key: "predict_epsilon", found: "false", advice: "write prediction_type sample instead")
    }
    for key in ["tensor_format", "timestep_values", "skip_prk_steps"] { reader.ignore(key) }
    for kind in Kind.allCases where kind != self.kind {
      for key in SchedulerConfig(kind).members.keys { reader.ignore(key) }
    }
  }

  /// β as a list where there is one, or where diffusers may not know the rule's name: it looks for the list first.
  private var writtenBetas: [Double]? {
    betas ?? (Self.rulesOfDiffusers.contains(betaSchedule) ? nil : rule.betas(T: T))
  }

  /// The keys that diffusers writes for this class.
  public var members: [String: JSONValue] {
    var members: [String: JSONValue] = others
    members["_class_name"] = .string(kind.rawValue)
    members["num_train_timesteps"] = .integer(T)
    members["beta_start"] = .number(betaStart)
    members["beta_end"] = .number(betaEnd)
    members["beta_schedule"] = .string(betaSchedule.rawValue)
    members["trained_betas"] = writtenBetas.map { .array($0.map { .number($0) }) } ?? .null
    members["rescale_betas_zero_snr"] = .bool(zeroTerminalSNR)
    members["prediction_type"] = .string(prediction.rawValue)
    members["thresholding"] = .bool(thresholds)
    members["dynamic_thresholding_ratio"] = .number(thresholdRatio)
    members["sample_max_value"] = .number(thresholdMaximum)
    members["timestep_spacing"] = .string(spacing.rawValue)
    members["steps_offset"] = .integer(stepsOffset)
    if kind != .dpmSolver {
      members["clip_sample"] = .bool(clipsSample)
      members["clip_sample_range"] = .number(clipRange)
    }
    switch kind {
    case .ddpm:
      members["variance_type"] = .string(variance.rawValue)
    case .ddim:
      members["set_alpha_to_one"] = .bool(finalAlphaIsOne)
    case .dpmSolver:
      members["variance_type"] = variance.isLearned ? .string(variance.rawValue) : .null
      members["solver_order"] = .integer(order)
      members["algorithm_type"] = .string("dpmsolver++")
      members["solver_type"] = .string(correction.rawValue)
      members["lower_order_final"] = .bool(lowerOrderFinal)
      members["euler_at_final"] = .bool(eulerAtFinal)
      members["final_sigmas_type"] = .string(finalSigmaIsZero ? "zero" : "sigma_min")
      members["lambda_min_clipped"] = .number(minimumλ)
      for key in [
        "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas",
        "use_dynamic_shifting",
      ] { members[key] = .bool(false) }
      if members["flow_shift"] == nil { members["flow_shift"] = .number(1) }
      if members["time_shift_type"] == nil { members["time_shift_type"] = .string("exponential") }
    }
    return members
  }

  /// As diffusers writes the file: sorted keys, 2 spaces, a newline at the end.
  public var json: String { JSONValue.object(members).canonicalText }
}

/// Takes keys out of a JSON object one by one; what nobody took is an error at the end.
private struct Reader {
  private var members: [String: JSONValue]
  private var ignored: [String: JSONValue] = [:]

  init(_ members: [String: JSONValue]) { self.members = members }

  private mutating func take(_ key: String) -> JSONValue? {
    guard let value = members.removeValue(forKey: key), value != .null else { return nil }
    return value
  }

  mutating func string(_ key: String) throws(SchedulerConfigError) -> String? {
    guard let value = take(key) else { return nil }
    guard case .string(let string) = value else { throw .type(key: key, found: value.compactText, wanted: "a string") }
    return string
  }

  mutating func bool(_ key: String) throws(SchedulerConfigError) -> Bool? {
    guard let value = take(key) else { return nil }
    guard case .bool(let bool) = value else { throw .type(key: key, found: value.compactText, wanted: "true or false") }
    return bool
  }

  mutating func integer(_ key: String, in range: ClosedRange<Int>) throws(SchedulerConfigError) -> Int? {
    guard let value = take(key) else { return nil }
    guard case .integer(let integer) = value, range.contains(integer) else {
      throw .type(
        key: key, found: value.compactText, wanted: "an integer from \(range.lowerBound) to \(range.upperBound)")
    }
    return integer
  }

  mutating func number(
    _ key: String, _ wanted: String = "a number", where isWanted: (Double) -> Bool = { _ in true }
  ) throws(SchedulerConfigError) -> Double? {
    guard let value = take(key) else { return nil }
    let number = try Self.number(value, key)
    guard isWanted(number) else { throw .type(key: key, found: value.compactText, wanted: wanted) }
    return number
  }

  mutating func numbers(_ key: String) throws(SchedulerConfigError) -> [Double]? {
    guard let value = take(key) else { return nil }
    guard case .array(let values) = value else {
      throw .type(key: key, found: value.compactText, wanted: "a list of numbers")
    }
    var numbers: [Double] = []
    for value in values { numbers.append(try Self.number(value, key)) }
    return numbers
  }

  mutating func choice<Choice: RawRepresentable & CaseIterable>(
    _ key: String
  ) throws(SchedulerConfigError) -> Choice? where Choice.RawValue == String {
    guard let name = try string(key) else { return nil }
    guard let choice = Choice(rawValue: name) else {
      throw .value(key: key, found: name, allowed: Choice.allCases.map(\.rawValue))
    }
    return choice
  }

  private static func number(_ value: JSONValue, _ key: String) throws(SchedulerConfigError) -> Double {
    switch value {
    case .integer(let integer): return Double(integer)
    case .number(let number): return number
    // diffusers writes −∞ as a string in some versions.
    case .string("-inf"), .string("-Infinity"): return -.infinity
    default: throw .type(key: key, found: value.compactText, wanted: "a number")
    }
  }

  /// Keeps a value that was read but changes nothing.
  mutating func keep(_ key: String, _ value: JSONValue) { ignored[key] = value }

  /// Passes over a key that changes nothing, and keeps it.
  mutating func ignore(_ key: String) {
    if let value = members.removeValue(forKey: key) { ignored[key] = value }
  }

  /// What is kept; throws where a key was neither read nor known to be harmless.
  func rest() throws(SchedulerConfigError) -> [String: JSONValue] {
    var kept = ignored
    for (key, value) in members.sorted(by: { $0.key < $1.key }) {
      // Private keys are metadata; null and false are features left off.
      guard key.hasPrefix("_") || value == .null || value == .bool(false) else {
        throw .unknownKey(key, found: value.compactText)
      }
      kept[key] = value
    }
    return kept
  }
}
