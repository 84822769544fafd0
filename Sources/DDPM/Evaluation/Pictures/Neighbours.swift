import Datasets
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The images of a data set that lie nearest to others, so that a model that has learned images by heart is found out.
public struct Neighbours: Sendable {
  /// An image of the data, and how near it is.
  public struct Neighbour: Sendable, Equatable {
    /// Which image of the data.
    public let index: Int
    /// √(mean squared difference), on the scale of 0…255: Euclid's distance over √D.
    public let rmse: Double
  }

  /// Pictures; an endless source is searched for one epoch.
  public let data: Dataset

  /// - Parameter data: pictures, not points.
  public init(in data: Dataset) { self.data = data }

  /// The `count` images nearest to each query, nearest first; of equally near ones the first.
  ///
  /// - Parameters:
  ///   - queries: pictures of the data's shape.
  ///   - observe: called now and then with the images searched; throw from it to stop.
  public func nearest(
    _ count: Int, to queries: [Image8], observe: ((_ done: Int, _ total: Int) throws -> Void)? = nil
  ) throws -> [[Neighbour]] {
    precondition(queries.allSatisfy { $0.shape == data.shape }, "pictures of another shape than \(data.shape)")
    let planes = queries.map(\.planes)
    // Σ (a − b)² of the nearest so far, ascending.
    var best = [[(distance: Int, index: Int)]](repeating: [], count: queries.count)
    for index in 0..<data.count {
      let pixels = try data.load(index).pixels
      for (q, query) in planes.enumerated() {
        let distance = Self.squaredDistance(query, pixels)
        if best[q].count == count, let last = best[q].last, distance >= last.distance { continue }
        let place = best[q].firstIndex { distance < $0.distance } ?? best[q].count
        best[q].insert((distance, index), at: place)
        if best[q].count > count { best[q].removeLast() }
      }
      if index % 1000 == 999 || index + 1 == data.count { try observe?(index + 1, data.count) }
    }
    return best.map {
      $0.map { Neighbour(index: $0.index, rmse: (Double($0.distance) / Double(data.shape.count)).squareRoot()) }
    }
  }

  /// Σ (a − b)².
  static func squaredDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    precondition(a.count == b.count, "\(a.count) and \(b.count) pixels")
    return a.withUnsafeBufferPointer { a in
      b.withUnsafeBufferPointer { b in
        var total = 0
        var start = 0
        // 255² · 16384 fits in 32 bits, which vectorise well.
        while start < a.count {
          let end = min(start + 16_384, a.count)
          var sum: UInt32 = 0
          for i in start..<end {
            let difference = Int32(a[i]) &- Int32(b[i])
            sum &+= UInt32(bitPattern: difference &* difference)
          }
          total += Int(sum)
          start = end
        }
        return total
      }
    }
  }
}

extension Image8 {
  /// The cells of a grid of pictures of a known size, as `ImageGrid` lays them out with its usual margin; the picture itself where it has
  /// that size; nil where it is neither. Cells that are one colour all over, which end a grid, are left out.
  func cells(width: Int, height: Int, margin: Int = ImageGrid().margin) -> [Image8]? {
    if self.width == width && self.height == height { return [self] }
    let (columns, x) = (self.width - margin).quotientAndRemainder(dividingBy: width + margin)
    let (rows, y) = (self.height - margin).quotientAndRemainder(dividingBy: height + margin)
    guard columns > 0, rows > 0, x == 0, y == 0 else { return nil }
    return (0..<rows * columns).compactMap { i in
      let (row, column) = i.quotientAndRemainder(dividingBy: columns)
      let cell = cropped(
        x: margin + column * (width + margin), y: margin + row * (height + margin), width: width, height: height)
      return cell.bytes.allSatisfy { $0 == ImageGrid().background } ? nil : cell
    }
  }
}

/// Pictures to compare with data, from wherever they are.
public enum SamplePictures {
  /// Reads a PNG or JPEG picture, a grid of them as `ddpm sample` writes it, or a folder of them; at most `count`.
  ///
  /// - Throws: ``EvaluationError/shape(data:model:)`` where a picture is neither of the data's size nor a grid of that size.
  public static func read(_ paths: [String], shape: ImageShape, count: Int) throws -> [Image8] {
    var pictures: [Image8] = []
    for path in paths where pictures.count < count {
      let picture = try Image8(contentsOf: URL(filePath: path)).converted(channels: shape.channels)
      guard let cells = picture.cells(width: shape.width, height: shape.height) else {
        throw EvaluationError.shape(data: "\(path), \(picture.shape)", model: "\(shape), or grids of it")
      }
      pictures += cells
    }
    return Array(pictures.prefix(count))
  }
}
