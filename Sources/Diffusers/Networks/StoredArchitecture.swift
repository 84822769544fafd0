import Files
import Networks

/// An architecture that has a form on disk: a folder of a model's directory with `config.json` and weights.
public protocol StoredArchitecture: Architecture {
  /// `_class_name` in `config.json`.
  static var className: String { get }
  /// The folder's name, and the key in `model_index.json`.
  static var component: String { get }
  /// The library that knows the class, as `model_index.json` names it.
  static var library: String { get }

  /// Reads `config.json`; absent keys take the defaults.
  ///
  /// - Parameter file: where the object came from, for messages.
  /// - Throws: ``PipelineError`` naming a key whose value cannot be honoured, and what would be.
  init(json: [String: JSONValue], file: String) throws(PipelineError)

  /// The object of `config.json`.
  ///
  /// - Parameter loaded: what it was read from; keys that are not known are kept.
  func json(updating loaded: [String: JSONValue]) -> [String: JSONValue]
}

/// The architectures that are read and written. To add one, conform it and name it here.
enum StoredArchitectures {
  static let all: [any StoredArchitecture.Type] = [UNetConfig.self, PointMLPConfig.self]

  /// The one of a class name; diffusers' U-Net where none is said.
  static func named(_ name: String?, file: String) throws(PipelineError) -> any StoredArchitecture.Type {
    guard let name else { return UNetConfig.self }
    guard let found = all.first(where: { $0.className == name }) else {
      throw .modelClass(file: file, found: name, known: all.map { $0.className })
    }
    return found
  }
}
