import Datasets
import Files
import Pictures
import Platform
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct PointsTests {
  static func draws(_ source: some ImageSource, _ count: Int) throws -> [(x: Double, y: Double, label: Int)] {
    try (0..<count).map { i in
      let example = try source.load(i)
      let values = try #require(example.values)
      return (Double(values[0]), Double(values[1]), Int(example.label))
    }
  }

  /// Σ_k w_k N(x; m_k, σ_k² I).
  static func density(_ components: [PointComponent], _ x: Double, _ y: Double) -> Double {
    components.reduce(0) { sum, c in
      let square = (x - c.mean[0]) * (x - c.mean[0]) + (y - c.mean[1]) * (y - c.mean[1])
      return sum + c.weight * exp(-square / (2 * c.variance)) / (2 * .pi * c.variance)
    }
  }

  @Test(arguments: PointFigure.allCases) func pointsDependOnSeedSplitAndIndexOnly(_ figure: PointFigure) {
    let (a, b) = (FigurePoints(figure, seed: 3), FigurePoints(figure, seed: 3))
    _ = b.load(17)
    #expect(a.load(5) == b.load(5))
    #expect(a.load(5) != FigurePoints(figure, seed: 4).load(5))
    #expect(a.load(5) != FigurePoints(figure, seed: 3, split: .test).load(5))
    #expect(a.load(10_000_000_000).values?.count == 2, "the set is endless")
    #expect(!a.isPixels && a.isEndless && a.shape == ImageShape(channels: 2, height: 1, width: 1))
  }

  @Test(arguments: PointFigure.allCases) func pointsAreStandardised(_ figure: PointFigure) throws {
    let n = 20_000
    let points = try Self.draws(FigurePoints(figure, seed: 1), n)
    let (mx, my) = (points.reduce(0) { $0 + $1.x } / Double(n), points.reduce(0) { $0 + $1.y } / Double(n))
    let variance = points.reduce(0) { $0 + $1.x * $1.x + $1.y * $1.y } / Double(2 * n) - (mx * mx + my * my) / 2
    // Standard errors are 1/√n and less than √2/√n.
    #expect(abs(mx) < 0.04 && abs(my) < 0.04 && abs(variance - 1) < 0.05, "\(mx), \(my), \(variance)")
    let classes = max(1, figure.classes.count)
    for label in 0..<classes {
      let share = Double(points.filter { $0.label == label }.count) / Double(n)
      #expect(abs(share - 1 / Double(classes)) < 0.02)
    }
  }

  /// The draws lie as the density says: counted in cells, and by the density's mean of ln q.
  @Test(arguments: [PointFigure.gaussians, .moons, .swissRoll, .spiral])
  func densitiesAreThoseOfTheDraws(_ figure: PointFigure) throws {
    let source = FigurePoints(figure, seed: 2)
    let components = try #require(source.density)
    #expect(abs(components.reduce(0) { $0 + $1.weight } - 1) < 1e-9)
    let n = 10_000
    let points = try Self.draws(source, n)
    // 8 × 8 cells over [−2.4, 2.4]², each integrated by 12 × 12 midpoints.
    let (cells, side) = (8, 0.6)
    var counted = [Int](repeating: 0, count: cells * cells)
    for p in points {
      let (i, j) = (Int(((p.x + 2.4) / side).rounded(.down)), Int(((p.y + 2.4) / side).rounded(.down)))
      if (0..<cells).contains(i), (0..<cells).contains(j) { counted[j * cells + i] += 1 }
    }
    var whole = 0.0
    for j in 0..<cells {
      for i in 0..<cells {
        var mass = 0.0
        for v in 0..<12 {
          for u in 0..<12 {
            let (x, y) = (
              -2.4 + side * (Double(i) + (Double(u) + 0.5) / 12), -2.4 + side * (Double(j) + (Double(v) + 0.5) / 12)
            )
            mass += Self.density(components, x, y) * side * side / 144
          }
        }
        whole += mass
        let expected = mass * Double(n)
        #expect(
          abs(Double(counted[j * cells + i]) - expected) < 5 * max(expected, 1).squareRoot() + 0.02 * expected + 3,
          "cell \(i), \(j): \(counted[j * cells + i]), not \(expected)")
      }
    }
    expect(abs(whole - 1), atMost: 5e-3, "∫ q of \(figure.rawValue) over the square, less 1")
  }

  /// The chain of Gaussians is the integral along the curve, taken with a hundred times as many midpoints.
  @Test(arguments: [PointFigure.moons, .swissRoll, .spiral]) func densitiesAreIntegrals(_ figure: PointFigure) throws {
    let (curves, noise, _) = try #require(figure.curves)
    let source = FigurePoints(figure)
    let components = try #require(source.density)
    // Back to the scale of the curves.
    let scale = noise / components[0].variance.squareRoot()
    let first = curves[0].point(GaussLegendre(components.count / curves.count).nodes[0])
    let centre = Point(first.x - scale * components[0].mean[0], first.y - scale * components[0].mean[1])
    let n = 20_000
    var (worst, largest) = (0.0, 0.0)
    for i in 0..<30 {
      let x = try Self.draws(source, 30)[i]
      let p = centre + scale * Point(x.x, x.y)
      let height = curves.reduce(0.0) { sum, curve in
        sum
          + (0..<n).reduce(0.0) { (sum: Double, k: Int) -> Double in
            let away = (curve.point(curve.quantile((Double(k) + 0.5) / Double(n))) - p).length
            return sum + exp(-away * away / (2 * noise * noise))
          }
      }
      let exact = height / Double(n) / (2 * Double.pi * noise * noise) / Double(curves.count) * scale * scale
      worst = max(worst, abs(Self.density(components, x.x, x.y) - exact))
      largest = max(largest, exact)
    }
    expect(worst / largest, atMost: 1e-6, "density of \(figure.rawValue) against its integral, of its height")
  }

  @Test func gaussLegendreIsExactForPolynomials() {
    for n in [1, 2, 5, 64] {
      let rule = GaussLegendre(n)
      for power in 0..<min(2 * n, 20) {
        let area = zip(rule.nodes, rule.weights).reduce(0) { $0 + $1.1 * pow($1.0, Double(power)) }
        #expect(abs(area - 1 / Double(power + 1)) < 1e-14, "\(n) nodes, x^\(power)")
      }
    }
  }

  @Test func checkerboardHasNoWhiteSquares() throws {
    for p in try Self.draws(FigurePoints(.checkerboard, seed: 1), 4000) {
      let scale = (4.0 / 3).squareRoot()
      let (i, j) = (Int((p.x * scale + 2 - 1e-6).rounded(.down)), Int((p.y * scale + 2 - 1e-6).rounded(.down)))
      // Float rounds the edges to either side.
      let edge = abs(p.x * scale - (p.x * scale).rounded()) < 1e-5 || abs(p.y * scale - (p.y * scale).rounded()) < 1e-5
      #expect(edge || (i + j) % 2 == 0, "\(p)")
    }
  }

  @Test func drawingsAreDrawnWhereTheyAreDark() throws {
    // Black, half grey; white, black: shares ⅖, ⅕, 0, ⅖ (to rounding).
    let image = Image8(width: 2, height: 2, channels: 1, bytes: [0, 128, 255, 0])
    let source = try DrawnPoints(image, name: "test", seed: 1)
    let points = try Self.draws(source, 20_000)
    var shares = [0.0, 0, 0, 0]
    let total = 255.0 + 127 + 255
    // The centre and scale, from the pixels' places: x 0.5 and 1.5, y −0.5 and −1.5.
    let weights = [255 / total, 127 / total, 0, 255 / total]
    let (cx, cy) = (0.5 + weights[1] + weights[3], -0.5 - weights[3])
    var spread = 1.0 / 12
    for (i, weight) in weights.enumerated() {
      let (dx, dy) = (Double(i % 2) + 0.5 - cx, -Double(i / 2) - 0.5 - cy)
      spread += weight * (dx * dx + dy * dy) / 2
    }
    for p in points {
      let (x, y) = (p.x * spread.squareRoot() + cx, p.y * spread.squareRoot() + cy)
      #expect(x > -1e-5 && x < 2 + 1e-5 && y < 1e-5 && y > -2 - 1e-5)
      shares[min(1, Int(x)) + 2 * min(1, Int(-y))] += 1 / 20_000
    }
    for (share, weight) in zip(shares, weights) { #expect(abs(share - weight) < 0.02) }
    #expect(source.load(3) == source.load(3))
    #expect(throws: DataError.self) {
      try DrawnPoints(Image8(width: 3, height: 3, channels: 3, fill: 255), name: "blank")
    }
    #expect(throws: Never.self) { try DrawnPoints(Image8(width: 1, height: 1, channels: 3, fill: 0), name: "one") }
  }

  @Test func tablesAreRead() throws {
    let texts = [
      "x,y,label\n1,2,b\n3,4,a\n5,9,b\n", "\u{FEFF}x;y;Class\r\n1;2;b\r\n\r\n# no point\r\n 3 ; 4 ;a\r\n5;9;b",
      "1 2\n3\t4\n5  9\n",
      "1,2\n3,4\n5,9", "x y\n1e0 +2\n3. 4\n5 9",
    ]
    for (i, text) in texts.enumerated() {
      let points = try PointTable.points(Array(text.utf8), name: "test")
      #expect(points.count == 3 && points.dimension == 2)
      #expect(points.standard.centre == [3, 5])
      let values = try (0..<3).flatMap { try #require(points.load($0).values) }
      let scale = ((4.0 + 9 + 0 + 1 + 4 + 16) / 6).squareRoot()
      #expect(zip(values, [-2, -3, 0, -1, 2, 4]).allSatisfy { abs(Double($0) - $1 / scale) < 1e-6 })
      #expect(points.classes == (i < 2 ? ["a", "b"] : []))
      #expect((0..<3).map { points.load($0).label } == (i < 2 ? [1, 0, 1] : [0, 0, 0]))
    }
    // Numbers of classes are in their own order.
    let numbered = try PointTable.points(Array("x,label\n1,10\n2,9\n".utf8), name: "test")
    #expect(numbered.classes == ["9", "10"] && numbered.dimension == 1)
    // Names among them come after all numbers, whatever they begin with.
    for _ in 0..<20 {
      let mixed = try PointTable.points(Array("x,label\n1,1a\n2,10\n3,b\n4,9\n".utf8), name: "test")
      #expect(mixed.classes == ["9", "10", "1a", "b"])
    }
  }

  @Test(arguments: [
    ("1,2\n3\n", "row 2 has 1 fields"), ("1,2\n3,nan\n", "row 2, column 2"), ("1,a\n", "row 1, column 2"),
    ("", "no points"),
    ("x,y\n", "no points"), ("label\na\n", "no points"), ("1,2\n3,inf\n", "no finite number"),
    ("1,2\n3,\n", "row 2, column 2"),
  ]) func badTablesSayWhere(_ text: String, _ problem: String) {
    let error = #expect(throws: DataError.self) { try PointTable.points(Array(text.utf8), name: "p.csv") }
    #expect(
      error?.description.contains(problem) == true && error?.description.hasPrefix("p.csv: ") == true,
      "\(error?.description ?? "")")
  }

  /// Written by numpy: [[1, 2], [3, 4], [5, 9]] as <f4, <f8 (version 2), <i4 (version 3) and |u1.
  static let arrays = [
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDMsIDIpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAIA/AAAAQAAAQEAAAIBAAACgQAAAEEE=",
    "k05VTVBZAgB0AAAAeydkZXNjcic6ICc8ZjgnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMywgMiksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAADwPwAAAAAAAABAAAAAAAAACEAAAAAAAAAQQAAAAAAAABRAAAAAAAAAIkA=",
    "k05VTVBZAwB0AAAAeydkZXNjcic6ICc8aTQnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMywgMiksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoBAAAAAgAAAAMAAAAEAAAABQAAAAkAAAA=",
    "k05VTVBZAQB2AHsnZGVzY3InOiAnfHUxJywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDMsIDIpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoBAgMEBQk=",
  ]

  static func bytes(_ base64: String) throws -> [UInt8] { Array(try #require(Data(base64Encoded: base64))) }

  @Test func arraysOfNumpyAreRead() throws {
    for array in Self.arrays {
      let points = try NPY.points(Self.bytes(array), name: "a.npy")
      #expect(points.count == 3 && points.dimension == 2 && points.standard.centre == [3, 5])
      #expect(points.load(2) == (try NPY.points(Self.bytes(Self.arrays[0]), name: "a.npy")).load(2))
    }
    // One axis: points of a line.
    let line = try NPY.points(
      Self.bytes(
        "k05VTVBZAQB2AHsnZGVzY3InOiAnPGY4JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDMsKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAADwPwAAAAAAAABAAAAAAAAAEEA="
      ), name: "a.npy")
    #expect(line.count == 3 && line.dimension == 1 && abs(line.standard.centre[0] - 7.0 / 3) < 1e-12)
  }

  /// A header as numpy writes it, without padding, and some bytes.
  static func npy(_ header: String, _ count: Int) -> [UInt8] {
    NPY.magic + [1, 0, UInt8(header.utf8.count & 255), UInt8(header.utf8.count >> 8)] + Array(header.utf8)
      + [UInt8](repeating: 0, count: count)
  }

  @Test func badArraysSayWhy() throws {
    let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n"
    #expect(try NPY.points(Self.npy(good, 16), name: "a.npy").count == 2)
    let cases: [([UInt8], String)] = [
      (Self.npy(good, 15), "cut short"), (Array(Self.npy(good, 16).prefix(20)), "header of"),
      ([1, 2, 3], "does not begin"),
      (NPY.magic + [9, 0, 0, 0, 0, 0], "version 9"),
      (Self.npy(good.replacing("False", with: "True"), 16), "column by column"),
      (Self.npy(good.replacing("<f4", with: ">f4"), 16), "type >f4"),
      (Self.npy(good.replacing("<f4", with: "<U7"), 16), "type <U7"),
      (Self.npy(good.replacing("(2, 2)", with: "(0, 2)"), 16), "no points"),
      (Self.npy(good.replacing("(2, 2)", with: "()"), 16), "no points"),
      (Self.npy(good.replacing("(2, 2)", with: "(-2, 2)"), 16), "not numpy's"),
      (Self.npy(good.replacing("(2, 2)", with: "(9223372036854775807, 4)"), 16), "cut short"),
      (Self.npy("no dictionary", 16), "not numpy's"),
      (Array(Self.npy(good, 12)) + [0, 0, 0xC0, 0x7F], "row 1 holds nan"),
    ]
    for (bytes, problem) in cases {
      let error = #expect(throws: DataError.self) { try NPY.points(bytes, name: "a.npy") }
      #expect(error?.description.contains(problem) == true, "\(error?.description ?? "")")
    }
  }

  @Test func damagedFilesAreErrorsOrPoints() throws {
    let originals = [
      try Self.bytes(Self.arrays[0]), try Self.bytes(Self.arrays[1]), Array("x,y,label\n1,2,b\n3,4,a\n5,9,b\n".utf8),
    ]
    for (kind, original) in originals.enumerated() {
      var random = CounterRandom(seed: 5, stream: 1, index: kind)
      var bad = 0
      for _ in 0..<500 {
        let bytes = FuzzTests.damaged(original, &random)
        do {
          let points = try kind < 2 ? NPY.points(bytes, name: "fuzz") : PointTable.points(bytes, name: "fuzz")
          for i in 0..<points.count { #expect(points.load(i).values?.allSatisfy(\.isFinite) == true) }
        } catch {
          #expect(error.file == "fuzz" && !error.description.contains("\n"))
          bad += 1
        }
      }
      #expect(bad > 50)
    }
  }

  @Test func pointsOpenByName() throws {
    let moons = try Dataset.open("moons", split: .test, options: .init(seed: 9))
    #expect(moons.description == "moons: endless points of ℝ^2, 2 classes (split test)")
    #expect(try moons.load(4) == FigurePoints(.moons, seed: 9, split: .test).load(4) && !moons.isPixels)
    let batch = try BatchRecipe(moons, batchSize: 5, seed: 1, mirrors: true).batch(at: 3)
    #expect(try batch.x0 == (3..<8).flatMap { try #require(moons.load($0).values) } && batch.labels.count == 5)
    try withTemporaryFolder { folder in
      let csv = folder.appending(path: "points.csv")
      try Data("1,2,3\n4,5,6\n".utf8).write(to: csv)
      #expect(try Dataset.open(csv.path).description.hasSuffix("points.csv: 2 points of ℝ^3"))
      let error = #expect(throws: FileError.self) { try Dataset.open(csv.path, options: .init(memoryLimit: 4)) }
      #expect(error?.description.contains("a file of this kind may have 4") == true)
      let npy = folder.appending(path: "points.npy")
      try Data(Self.bytes(Self.arrays[0])).write(to: npy)
      #expect(try Dataset.open(npy.path).count == 3)
      let png = folder.appending(path: "dots.png")
      try Image8(width: 4, height: 4, channels: 1, fill: 20).writePNG(to: png)
      #expect(try Dataset.open("drawing:\(png.path)").isEndless)
      #expect(throws: FileError.self) { try Dataset.open("drawing:\(png.path)x") }
      #expect(throws: FileError.self) { try Dataset.open("\(csv.path).npy") }
    }
  }
}
