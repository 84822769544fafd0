import DDPM
import Datasets
import Diffusion
import Files
import Pictures
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Samples that are points, drawn.
@Suite struct PointPicturesTests {
  private let x = Images(shape: .init(3, 2, 1, 1), scalars: [1, 2, -0.5, 0.25, 0, -1])

  @Test func classesHaveTheirOwnSeries() {
    let pictures = PointPictures(labels: [1, 0, 1], names: ["a", "b"])
    let plot = pictures.points(x, title: "p")
    #expect(plot.series.map(\.name) == ["a", "b"] && plot.series[1].x == [1, 0] && plot.series[1].y == [2, -1])
    #expect(PointPictures().points(x, title: "p").series.map(\.x) == [[1, -0.5, 0]])
    #expect(pictures.csv(x) == "x1,x2,class\n1.0,2.0,b\n-0.5,0.25,a\n0.0,-1.0,b\n")
    #expect(PointPictures().csv(x).hasPrefix("x1,x2\n1.0,2.0\n"))
  }

  /// A density adds up to 1, where all points are seen.
  @Test func densityAddsUpToOne() throws {
    let map = try #require(PointPictures(range: -4...4).density(x, title: "d", cells: 16).heatMap)
    #expect(abs(map.values.reduce(0, +) * 0.25 - 1) < 1e-12)
    // Rows go up: (1, 2) lies in column 10, row 12.
    #expect(map.values[12 * 16 + 10] > 0)
  }

  /// What is written is read again as data.
  @Test func tablesAreData() throws {
    try withTemporaryFolder { folder in
      let file = folder.appending(path: "points.csv")
      try AtomicFile.write(PointPictures(labels: [1, 0, 1], names: ["a", "b"]).csv(x), to: file)
      let data = try Dataset.open(file.path, split: .train)
      #expect(data.count == 3 && data.classes == ["a", "b"] && data.shape.channels == 2)
      #expect(try (0..<3).map { try data.load($0).label } == [1, 0, 1])
    }
  }
}
