import Files
import Networks

/// A picture that cannot be edited so.
public enum EditError: Error, Equatable, Sendable, CustomStringConvertible {
  case size(String, found: SampleSize, wanted: SampleSize)
  case scale(Int, of: SampleSize)
  case maskSize(String, found: SampleSize, wanted: SampleSize)
  case mask(String, hidden: Int, of: Int)
  case grey
  case strength(Double)
  case steps(Int, T: Int)
  case enlarges(scale: Int)

  public var description: String {
    switch self {
    case .size(let path, let found, let wanted):
      "\(path): is \(found) pixels; this edit with this model takes \(wanted): resize it".onOneLine
    case .scale(let scale, let size):
      "a scale of \(scale) does not divide the model's \(size): choose one of "
        + scales(of: size)
    case .maskSize(let path, let found, let wanted):
      "\(path): a mask of \(found) pixels for a picture of \(wanted)".onOneLine
    case .mask(let path, let hidden, let count):
      "\(path): the mask hides \(hidden) of \(count) pixels: white is to be painted, black is kept; draw some of both"
        .onOneLine
    case .grey: "colour can be added by a model of colour pictures alone, and this one's have 1 channel"
    case .strength(let strength):
      "strength is \(strength); choose above 0, which keeps the picture, to 1, which forgets it"
    case .steps(let steps, let T): "steps is \(steps); the model has \(T) timesteps: choose 1 to \(T)"
    case .enlarges(let scale):
      "the model was trained to enlarge pictures \(scale) times, and does nothing else: give the small picture and no other task"
    }
  }

  /// The scales that divide both sides, as a list.
  private func scales(of size: SampleSize) -> String {
    let sides = 2...max(2, min(size.height, size.width))
    return list(sides.filter { size.height.isMultiple(of: $0) && size.width.isMultiple(of: $0) }.map { String($0) })
  }
}
