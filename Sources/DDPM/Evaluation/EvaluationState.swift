import Datasets
import Diffusion
import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// An evaluation on disk, so that it can go on where it stopped: what was asked, and the statistics of the finished images.
///
/// A number read back is the number that was written, so a resumed evaluation ends with the bits of an uninterrupted one.
public struct EvaluationState: Sendable, Equatable {
  /// What must be the same for the images to belong together.
  public var identity: [String: JSONValue]
  /// The bound of the finished images.
  public var statistics: BoundStatistics

  /// - Parameter identity: what `EvaluationSubject.identity(metric:weights:data:)` says.
  public init(identity: [String: JSONValue], statistics: BoundStatistics) {
    self.identity = identity
    self.statistics = statistics
  }

  /// Reads a state that was written for the same evaluation.
  ///
  /// - Parameter T: the timesteps of the model.
  /// - Throws: ``EvaluationError`` where the file is damaged or of another evaluation, or `FileError`.
  public init(reading url: URL, expecting identity: [String: JSONValue], T: Int) throws {
    let object = try Self.object(reading: url, format: Self.format, expecting: identity)
    func damaged(_ problem: String) -> EvaluationError { .damagedState(url.path, problem) }
    guard let images = object["images"]?.array, let timesteps = object["timesteps"]?.array else {
      throw damaged("it holds no statistics")
    }
    guard timesteps.count == T else { throw damaged("it is of \(timesteps.count) timesteps, not \(T)") }
    var statistics = BoundStatistics(T: T)
    statistics.images = try images.map {
      guard let values = $0.array?.compactMap(\.double), values.count == 3 else { throw damaged("an image's bound") }
      return BoundStatistics.ImageBound(prior: values[0], diffusion: values[1], reconstruction: values[2])
    }
    statistics.timesteps = try timesteps.map {
      guard let values = $0.array?.compactMap(\.double), values.count == 9, (0...Double(images.count)) ~= values[0],
        values[0].rounded() == values[0]
      else { throw damaged("a timestep's moments") }
      let moments = (0..<4).map {
        Moments(count: Int(values[0]), mean: values[1 + 2 * $0], squares: values[2 + 2 * $0])
      }
      return BoundStatistics.AtTimestep(
        bits: moments[0], εError: moments[1], x0Error: moments[2], rate: moments[3])
    }
    self.init(identity: object["identity"]?.object ?? identity, statistics: statistics)
  }

  /// Reads a state of some format that was written for the same measurement.
  ///
  /// - Throws: ``EvaluationError`` where the file is damaged or of another measurement, or `FileError`.
  static func object(
    reading url: URL, format: String, expecting identity: [String: JSONValue]
  ) throws -> [String: JSONValue] {
    func damaged(_ problem: String) -> EvaluationError { .damagedState(url.path, problem) }
    let root: JSONValue
    do { root = try JSONValue(parsing: FileBytes.read(url.path, limit: 64 << 20)) } catch let error as JSONError {
      throw damaged(error.description)
    }
    guard let object = root.object, object["format"]?.string == format else { throw damaged("it has another form") }
    guard let found = object["identity"]?.object else { throw damaged("it does not say what was evaluated") }
    for (key, wanted) in identity.sorted(by: { $0.key < $1.key }) where found[key] != wanted {
      throw EvaluationError.otherState(
        url.path, key: key, found: found[key]?.compactText ?? "absent", wanted: wanted.compactText)
    }
    return object
  }

  /// Writes the state, whole or not at all.
  public func write(to url: URL) throws {
    let images = statistics.images.map {
      JSONValue.array([.number($0.prior), .number($0.diffusion), .number($0.reconstruction)])
    }
    let timesteps = statistics.timesteps.map { at in
      JSONValue.array(
        [.integer(at.bits.count)]
          + [at.bits, at.εError, at.x0Error, at.rate].flatMap { [.number($0.mean), .number($0.squares)] })
    }
    let object: [String: JSONValue] = [
      "format": .string(Self.format), "identity": .object(identity), "images": .array(images),
      "timesteps": .array(timesteps),
    ]
    try AtomicFile.write(JSONValue.object(object).compactText + "\n", to: url)
  }

  private static let format = "ddpm-evaluation-1"
}

extension EvaluationSubject {
  /// What a state must agree with: everything that changes an image's numbers.
  public func identity(metric: String, weights: String, data: Dataset) -> [String: JSONValue] {
    var identity = json
    // Names and places may change; the weights and the data's shape may not.
    identity["model"] = nil
    identity["metric"] = .string(metric)
    identity["weights"] = .string(weights)
    identity["shape"] = .string("\(data.shape)")
    identity["data_images"] = .integer(data.count)
    return identity
  }
}
