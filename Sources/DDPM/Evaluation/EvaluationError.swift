import Diffusion
import Files

/// Why an evaluation cannot be done, or had to stop.
public enum EvaluationError: Error, Equatable, Sendable, CustomStringConvertible {
  case channels(Int)
  case shape(data: String, model: String)
  case limit(Int, available: Int)
  case timesteps(Int, T: Int)
  case timestep(Int, T: Int)
  case batchSize(Int)
  case notFinite(Double, t: Timestep)
  case damagedState(String, String)
  case otherState(String, key: String, found: String, wanted: String)
  case tooManyImages(String, found: Int, wanted: Int)
  case imageIndex(String, count: Int)
  case classes(data: String, found: Int, known: Int)
  case noLabel(String)
  case unknownClass(data: String, name: String, known: [String])

  public var description: String {
    switch self {
    case .channels(let channels): "the model has \(channels) channels; images have 1 or 3"
    case .shape(let data, let model): "\(data): the model is for \(model): resize the data first"
    case .limit(let limit, let available): "limit is \(limit); choose 1 to \(available), the images of the data"
    case .timesteps(let count, let T):
      "timesteps is \(count); choose \(min(2, T)) to \(T), or leave it out for the full bound"
    case .timestep(let t, let T): "timestep \(t) is not one of 1…\(T)"
    case .batchSize(let size): "the batch size is \(size); choose 1 to \(SamplingError.largestBatch)"
    case .notFinite(let value, let t):
      "the bound's term at t = \(t) is \(value): the network's output is not finite; is the model trained with this variance?"
    case .damagedState(let path, let problem):
      "\(path): not the state of an evaluation: \(problem); remove it to start anew"
    case .otherState(let path, let key, let found, let wanted):
      "\(path) belongs to another evaluation: its \(key) is \(found), not \(wanted); name another file"
    case .tooManyImages(let path, let found, let wanted):
      "\(path) holds \(found) images already; choose a limit of \(found) or more, not \(wanted)"
    case .imageIndex(let text, let count): "image '\(text)' of the data: choose 0 to \(count - 1)"
    case .classes(let data, let found, let known):
      "\(data): has \(found == 0 ? "no class labels" : "\(found) classes") and the model asks for one of \(known) classes: "
        + "give it data labelled as what it was trained on"
    case .unknownClass(let data, let name, let known):
      "\(data): the model knows no class \(quoted(name)); it knows \(list(known.map(quoted), limit: 40))"
    case .noLabel(let image): "\(image): has no class label, and the model asks for a class: give one"
    }
  }
}
