import Files
import Networks

extension PointMLPConfig: StoredArchitecture {
  /// `PointMLP`.
  public static var className: String { "PointMLP" }
  /// `mlp`.
  public static var component: String { "mlp" }
  /// `swift_ddpm`: diffusers does not know it.
  public static var library: String { "swift_ddpm" }

  /// Reads `dimension`, `width`, `layers`, `num_class_embeds` and `learns_variance`; others are ignored.
  public init(json: [String: JSONValue], file: String) throws(PipelineError) {
    self.init()
    let keys = ConfigReader(object: json, file: file)
    try keys.read("dimension", into: &dimension, \.integer, "an integer")
    try keys.read("width", into: &width, \.integer, "an integer")
    try keys.read("layers", into: &layers, \.integer, "an integer")
    classRows = try keys.optional("num_class_embeds", \.integer, "an integer or null")
    try keys.read("learns_variance", into: &learnsVariance, \.bool, "true or false")
    do { _ = try parameters() } catch { throw .config(file: file, "\(error)") }
  }

  /// The object that ``init(json:file:)`` reads.
  public func json(updating loaded: [String: JSONValue]) -> [String: JSONValue] {
    var json = loaded
    json["_class_name"] = .string(Self.className)
    json["dimension"] = .integer(dimension)
    json["width"] = .integer(width)
    json["layers"] = .integer(layers)
    json["num_class_embeds"] = classRows.map { .integer($0) } ?? .null
    json["learns_variance"] = .bool(learnsVariance)
    return json
  }
}
