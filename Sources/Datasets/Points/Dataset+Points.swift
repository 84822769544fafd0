import Files
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension Dataset {
  /// An embedded set of points of the plane.
  public static func points(_ figure: PointFigure, seed: UInt64 = 0, split: Split = .train) -> Dataset {
    Dataset(
      FigurePoints(figure, seed: seed, split: split), name: figure.rawValue, format: "procedural points", split: split,
      classes: figure.classes)
  }

  /// Points where a drawing is dark.
  ///
  /// - Throws: ``DataError`` where nothing is.
  public static func points(
    drawing: Image8, name: String, seed: UInt64 = 0, split: Split = .train
  ) throws(DataError) -> Dataset {
    Dataset(
      try DrawnPoints(drawing, name: name, seed: seed, split: split), name: name, format: "points of a drawing",
      split: split)
  }

  /// Points, where a path names some: an embedded figure (`moons`), a drawing (`drawing:cat.png`), or a file of numbers
  /// (`.csv`, `.tsv`, `.npy`).
  static func points(named path: String, split: Split, options: Options) throws -> Dataset? {
    if let figure = PointFigure(rawValue: path) { return points(figure, seed: options.seed, split: split) }
    if path.hasPrefix("drawing:") {
      let file = String(path.dropFirst(8))
      let drawing = try Image8(contentsOf: URL(filePath: file))
      return try points(drawing: drawing, name: path, seed: options.seed, split: split)
    }
    guard StoredPoints.isPoints(path) else { return nil }
    let points = try StoredPoints.read(path, limit: options.memoryLimit)
    return Dataset(points, name: path, format: "points in a file", classes: points.classes)
  }
}
