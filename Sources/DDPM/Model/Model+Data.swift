import Datasets
import Diffusion
import Networks
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension SampleSize {
  /// Of a batch's samples.
  init(_ shape: Images.Shape) { self.init(height: shape.height, width: shape.width) }
}

extension Model {
  /// Whether samples are points of ℝᵈ, not pictures.
  public var isOfPoints: Bool { architecture.sampleSize == SampleSize(height: 1, width: 1) }

  /// Opens data at the model's size and channels.
  ///
  /// - Throws: ``EvaluationError/shape(data:model:)`` where data of another shape remains, and what ``Dataset/open(_:split:options:)`` throws.
  public func openData(_ path: String, split: Dataset.Split) throws -> Dataset {
    var options = Dataset.Options()
    if architecture.channels == 1 || architecture.channels == 3 { options.channels = architecture.channels }
    if let size = architecture.sampleSize, size.height == size.width, size.height > 1 {
      options.imageSize = size.height
    }
    let data = try Dataset.open(path, split: split, options: options)
    try check(data.shape, name: "\(data.shape)")
    return data
  }

  /// The number of each class of `data` as the model counts: by name where both have names, by position otherwise.
  ///
  /// - Throws: ``EvaluationError/classes(data:found:known:)`` where data and model do not go together.
  public func classNumbers(of data: Dataset) throws(EvaluationError) -> [Int]? {
    guard let classCount else { return nil }
    if !card.classNames.isEmpty, !data.classes.isEmpty {
      var numbers: [Int] = []
      for name in data.classes {
        guard let number = card.classNames.firstIndex(of: name) else {
          throw .unknownClass(data: data.name, name: name, known: card.classNames)
        }
        numbers.append(number)
      }
      return numbers
    }
    guard (1...classCount).contains(data.classes.count) else {
      throw .classes(data: data.name, found: data.classes.count, known: classCount)
    }
    return Array(data.classes.indices)
  }

  /// Reads a picture file at the model's size and channels.
  public func picture(_ url: URL) throws -> Image8 {
    guard architecture.channels == 1 || architecture.channels == 3 else {
      throw EvaluationError.channels(architecture.channels)
    }
    var picture = try Image8(contentsOf: url).converted(channels: architecture.channels)
    if let size = architecture.sampleSize, size.width == size.height,
      picture.width != size.width || picture.height != size.height
    {
      picture = picture.centreSquare(side: size.width)
    }
    try check(picture.shape, name: "\(url.path), \(picture.shape)")
    return picture
  }

  private func check(_ shape: ImageShape, name: String) throws {
    let size = architecture.sampleSize ?? SampleSize(height: shape.height, width: shape.width)
    let wanted = ImageShape(channels: architecture.channels, height: size.height, width: size.width)
    guard shape == wanted else { throw EvaluationError.shape(data: name, model: "\(wanted)") }
    try architecture.validate(height: shape.height, width: shape.width)
  }
}

extension Dataset {
  /// Image `index` as the model sees it, never mirrored.
  ///
  /// - Parameter classes: the model's number of each class of the data; nil where the model is told none.
  public func evaluationImage(_ index: Int, classes: [Int]?) throws -> EvaluationImage {
    let example = try load(index)
    let label = Int(example.label)
    return EvaluationImage(
      x0: Images(shape: .init(1, shape.channels, shape.height, shape.width), scalars: example.x0),
      given: classes.map { .classes([$0.indices.contains(label) ? $0[label] : nil]) } ?? .none)
  }
}
