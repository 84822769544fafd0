import Files

/// What a model's directory says beside diffusers' files, in `ddpm.json`: what its condition means.
public struct ModelCard: Equatable, Sendable {
  /// The classes' names, by number; empty where nobody named them.
  public var classNames: [String] = []
  /// The row of the class table that stands for no class at all, where one was trained: the last.
  public var nullClass: Int?
  /// What the pictures beside x_t are; nil for a network that is shown none.
  public var pictures: PictureTask?

  /// One that says nothing: no names, no null class, no pictures.
  public init() {}

  /// The tasks of networks that are shown a picture.
  public enum PictureTask: Equatable, Sendable {
    /// The image at 1/scale of its size, enlarged again (Saharia et al. 2022, SR3).
    case superResolution(scale: Int)
  }

  /// Whether it says nothing.
  public var isEmpty: Bool { self == ModelCard() }

  static let fileName = "ddpm.json"

  /// - Throws: ``PipelineError`` naming a key whose value makes no sense.
  init(json: [String: JSONValue], file: String) throws(PipelineError) {
    let keys = ConfigReader(object: json, file: file)
    classNames =
      try keys.optional(
        "class_names", { $0.array.flatMap { names in names.allSatisfy { $0.string != nil } ? names : nil } },
        "a list of names")?.compactMap(\.string) ?? []
    nullClass = try keys.optional("null_class", \.integer, "an integer or null")
    if let scale = try keys.optional("super_resolution_scale", \.integer, "an integer or null") {
      guard (2...64).contains(scale) else { throw keys.error("super_resolution_scale", "it should be 2 to 64") }
      pictures = .superResolution(scale: scale)
    }
  }

  var json: [String: JSONValue] {
    var json: [String: JSONValue] = [:]
    if !classNames.isEmpty { json["class_names"] = .array(classNames.map { .string($0) }) }
    if let nullClass { json["null_class"] = .integer(nullClass) }
    if case .superResolution(let scale) = pictures { json["super_resolution_scale"] = .integer(scale) }
    return json
  }
}
