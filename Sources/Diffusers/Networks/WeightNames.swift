import Files

/// Every way in which a file's tensors differ from those that the network has, by name.
public struct WeightsMismatch: Error, Equatable, Sendable, CustomStringConvertible {
  /// The file's path.
  public let file: String
  /// Names that the network has and the file lacks.
  public var missing: [String] = []
  /// Names that the file has and the network lacks.
  public var unexpected: [String] = []
  /// Tensors that both have, of different shapes.
  public var misshaped: [Misshaped] = []
  /// Names whose type holds no weights.
  public var unreadable: [String] = []

  /// A tensor whose shape is not the network's.
  public struct Misshaped: Equatable, Sendable {
    /// As the file has it.
    public let name: String
    /// The network's shape.
    public let expected: [Int]
    /// The file's shape.
    public let found: [Int]

    /// - Parameters:
    ///   - expected: the network's shape.
    ///   - found: the file's shape.
    public init(name: String, expected: [Int], found: [Int]) {
      self.name = name
      self.expected = expected
      self.found = found
    }
  }

  /// Whether nothing differs.
  public var isEmpty: Bool { missing.isEmpty && unexpected.isEmpty && misshaped.isEmpty && unreadable.isEmpty }

  public var description: String {
    var parts: [String] = []
    if !missing.isEmpty { parts.append("\(missing.count) missing: \(list(missing))") }
    if !unexpected.isEmpty { parts.append("\(unexpected.count) unexpected: \(list(unexpected.map(quoted)))") }
    if !misshaped.isEmpty {
      let shapes = misshaped.map { "\($0.name) is \($0.found), should be \($0.expected)" }
      parts.append("\(misshaped.count) of another shape: \(list(shapes))")
    }
    if !unreadable.isEmpty { parts.append("\(unreadable.count) not of a floating type: \(list(unreadable))") }
    return "\(file): the weights do not fit the configuration (are both from the same model?): "
      + parts.joined(separator: "; ")
  }
}

/// The names of weights, past and present.
public enum WeightNames {
  /// What diffusers before 0.15 called the projections of an attention block.
  private static let legacy = ["query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"]

  /// Today's name of a tensor: `….attentions.0.query.weight` became `….attentions.0.to_q.weight`.
  public static func current(_ name: String) -> String {
    var parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard parts.count >= 4, parts[parts.count - 4] == "attentions", let new = legacy[parts[parts.count - 2]] else {
      return name
    }
    parts[parts.count - 2] = new
    return parts.joined(separator: ".")
  }

  /// Finds each of the network's tensors in a file, under its name of today or of old.
  ///
  /// - Returns: The name in the file for each name of the network.
  /// - Throws: ``WeightsMismatch`` with everything that does not fit.
  public static func match(
    _ parameters: [(name: String, shape: [Int])], in file: SafetensorsFile
  ) throws(WeightsMismatch) -> [String: String] {
    var mismatch = WeightsMismatch(file: file.path)
    let shapes = Dictionary(parameters.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
    var stored: [String: String] = [:]
    for tensor in file.tensors.sorted(by: { $0.name < $1.name }) {
      let name = current(tensor.name)
      // A file with both names of one tensor is ambiguous: the old one is unexpected.
      guard let shape = shapes[name], name == tensor.name || file[name] == nil else {
        mismatch.unexpected.append(tensor.name)
        continue
      }
      stored[name] = tensor.name
      if tensor.shape != shape {
        mismatch.misshaped.append(.init(name: tensor.name, expected: shape, found: tensor.shape))
      } else if !StoredType.floats.contains(tensor.type) {
        mismatch.unreadable.append("\(tensor.name) (\(tensor.type.rawValue))")
      }
    }
    mismatch.missing = parameters.map(\.name).filter { stored[$0] == nil }
    guard mismatch.isEmpty else { throw mismatch }
    return stored
  }
}
