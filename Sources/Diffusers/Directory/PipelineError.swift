import Files

/// A model directory that cannot be used, with where and what to try.
public enum PipelineError: Error, Equatable, Sendable, CustomStringConvertible {
  case notADirectory(String)
  /// No file of these names, in either layout.
  case missingFile(directory: String, names: [String])
  /// Only PyTorch's pickled weights are there.
  case pickledWeights(file: String, directory: String)
  case json(file: String, JSONError)
  case notAnObject(file: String, kind: String)
  /// A key whose value we cannot honour.
  case value(file: String, key: String, found: String, wanted: String)
  case config(file: String, String)
  case modelClass(file: String, found: String, known: [String])

  public var description: String { text.onOneLine }

  private var text: String {
    switch self {
    case .notADirectory(let path): "\(path): no such directory; give one that holds model_index.json or config.json"
    case .missingFile(let directory, let names):
      "\(directory): found no \(names.joined(separator: " and no ")); "
        + "is it a diffusers pipeline (model_index.json, unet/, scheduler/) or a flat one (config.json)?"
    case .pickledWeights(let file, let directory):
      "\(file): pickled weights can run any program, so we do not read them; convert them with: "
        + convert(directory)
    case .json(let file, let error): "\(file): \(error)"
    case .notAnObject(let file, let kind): "\(file): it should hold a JSON object and holds \(kind)"
    case .value(let file, let key, let found, let wanted): "\(file): \(key) is \(found); \(wanted)"
    case .config(let file, let problem): "\(file): \(problem)"
    case .modelClass(let file, let found, let known):
      "\(file): _class_name is \(quoted(found)); we have \(known.joined(separator: ", "))"
    }
  }

  private func convert(_ directory: String) -> String {
    // Double quotes for the shell, single ones for Python.
    let path = directory.map { "\\'\"$`".contains($0) ? "\\\($0)" : String($0) }.joined()
    let load = "from diffusers import UNet2DModel as M; d = '\(path)'; M.from_pretrained(d, use_safetensors=False)"
    return "python -c \"\(load).save_pretrained(d)\""
  }
}
