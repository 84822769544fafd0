import Files
import Networks

extension PointMLPConfig: StoredArchitecture {
  public static var className: String { "PointMLP" }
  public static var component: String { "mlp" }
  public static var library: String { "swift_ddpm" }

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
