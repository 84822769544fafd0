import Files
import Pictures

/// Points of any dimension from a file: a table of numbers as text (`.csv`, `.tsv`) or numpy's `.npy`, one point a row.
public struct StoredPoints: ImageSource {
  private let values: [Float]
  private let labels: [Int32]
  /// d: values a point.
  public let dimension: Int
  /// The classes' names, by label.
  package let classes: [String]
  /// How the file's numbers became these.
  public let standard: Standardisation

  /// - Parameters:
  ///   - rows: `dimension` values a point; finite.
  ///   - labels: one a point, or none.
  init(_ rows: [Double], dimension: Int, labels: [String] = []) {
    let standard = Standardisation(of: rows, dimension: dimension)
    self.dimension = dimension
    self.standard = standard
    values = stride(from: 0, to: rows.count, by: dimension).flatMap { standard(Array(rows[$0..<$0 + dimension])) }
    // Numbers in their order, then other names in the alphabet's.
    let classes = Set(labels).sorted { a, b in (Int(a) ?? .max, a) < (Int(b) ?? .max, b) }
    self.classes = classes
    let numbers = Dictionary(uniqueKeysWithValues: classes.enumerated().map { ($1, Int32($0)) })
    self.labels = labels.map { numbers[$0] ?? 0 }
  }

  /// Rows of the file.
  public var count: Int { values.count / dimension }
  /// False: numbers.
  public var isPixels: Bool { false }
  /// d×1×1.
  public var shape: ImageShape { ImageShape(channels: dimension, height: 1, width: 1) }
  /// Four bytes a value and a label.
  public var heldByteCount: Int { 4 * (values.count + labels.count) }

  /// Row `index`, standardised; label 0 where the file has none.
  public func load(_ index: Int) -> Example {
    Example(
      values: Array(values[index * dimension..<(index + 1) * dimension]), label: labels.isEmpty ? 0 : labels[index])
  }

  /// Whether a file's name says that it holds points.
  static func isPoints(_ path: String) -> Bool { [".csv", ".tsv", ".npy"].contains(FileTree.suffix(of: path)) }

  /// Reads a file of points.
  ///
  /// - Parameter limit: the most bytes it may take.
  /// - Throws: ``DataError`` that says which row is wrong, or `FileError`.
  static func read(_ path: String, limit: Int) throws -> StoredPoints {
    let bytes = try FileBytes.read(path, limit: limit)
    return FileTree.suffix(of: path) == ".npy"
      ? try NPY.points(bytes, name: path) : try PointTable.points(bytes, name: path)
  }
}
