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

  /// Reads all keys of a class that is known.
  public init(_ members: [String: JSONValue]) throws(SchedulerConfigError) {
    var reader = SchedulerReader(members)
    let name = try reader.string("_class_name") ?? Kind.ddpm.rawValue
    if let reason = Self.otherProcesses[name] { throw .otherProcess(name, reason: reason) }
    guard let kind = Kind(rawValue: name) else { throw .unknownClass(name) }
    self.init(kind)
    for key in Self.keys where key.kinds.contains(kind) { try key.read(&self, &reader) }
    try readOldKeys(&reader)
    others = try reader.rest()
  }

  /// Reads what a sampler that is named by the caller needs, β, T and what the network predicts, of a class that need not be known. Such a
  /// configuration is written as it was read.
  ///
  /// - Throws: ``SchedulerConfigError`` where the class is known and the file is wrong, or where it is not a DDPM chain's.
  public init(tolerating members: [String: JSONValue]) throws(SchedulerConfigError) {
    guard let name = members["_class_name"]?.string, Kind(rawValue: name) == nil else {
      try self.init(members)
      return
    }
    if let reason = Self.otherProcesses[name] { throw .otherProcess(name, reason: reason) }
    guard members["beta_schedule"] != nil || members["trained_betas"] != nil else {
      throw .otherProcess(name, reason: "it says no β")
    }
    self.init(.ddpm)
    unknownClass = name
    others = members
    var reader = SchedulerReader(members)
    for key in Self.keys where key.kinds.contains(.ddpm) { try key.read(&self, &reader) }
  }

  /// Classes for networks that are not a DDPM chain's, and why they are not.
  private static let otherProcesses: [String: String] = {
    let scaled = "its networks see inputs scaled by σ (c_in, c_skip, c_out) and have no β"
    let flow = "it interpolates data and noise in a line and has no β"
    return [
      "EDMEulerScheduler": scaled, "EDMDPMSolverMultistepScheduler": scaled,
      "CosineDPMSolverMultistepScheduler": scaled,
      "ScoreSdeVeScheduler": "its noise grows without bound and it has no β", "FlowMatchEulerDiscreteScheduler": flow,
      "FlowMatchHeunDiscreteScheduler": flow, "FlowMatchLCMScheduler": flow,
    ]
  }()

  /// Keys of versions before 0.10, and keys of the other classes, which diffusers too passes over.
  private func readOldKeys(_ reader: inout SchedulerReader) throws(SchedulerConfigError) {
    if try reader.bool("predict_epsilon") == false && prediction == .epsilon {
      throw .unsupported(key: "predict_epsilon", found: "false", advice: "write prediction_type sample instead")
    }
    for key in ["tensor_format", "timestep_values"] { reader.ignore(key) }
    for key in Self.keys where !key.kinds.contains(kind) { reader.ignore(key.name) }
  }

  /// The keys that diffusers writes for this class.
  public var members: [String: JSONValue] {
    var members = others
    if unknownClass != nil { return members }
    members["_class_name"] = .string(kind.rawValue)
    for key in Self.keys where key.kinds.contains(kind) { members[key.name] = key.write(self) }
    return members
  }

  /// As diffusers writes the file: sorted keys, 2 spaces, a newline at the end.
  public var json: String { JSONValue.object(members).canonicalText }
}
