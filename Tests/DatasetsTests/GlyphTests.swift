import Datasets
import Files
import Pictures
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct GlyphTests {
  @Test func imagesDependOnSeedSplitAndIndexOnly() throws {
    let a = Glyphs(seed: 3), b = Glyphs(seed: 3)
    _ = b.load(17)
    #expect(a.load(5) == b.load(5))
    #expect(a.load(5) != Glyphs(seed: 4).load(5))
    #expect(a.load(5) != Glyphs(seed: 3, split: .test).load(5))
    #expect(a.load(10_000_000_000).pixels.count == 28 * 28, "the set is endless")
  }

  @Test func everyClassAppearsAboutEquallyOften() {
    var counts = [Int](repeating: 0, count: 36)
    for i in 0..<7200 { counts[Int(Glyphs().load(i).label)] += 1 }
    // 200 expected, standard deviation 14
    #expect(counts.allSatisfy { (140...260).contains($0) })
  }

  @Test(arguments: [16, 28, 32, 64])
  func inkIsThereAndStaysInTheFrame(side: Int) {
    let glyphs = Glyphs(side: side)
    for i in 0..<500 {
      let pixels = glyphs.load(i).pixels
      let ink = pixels.reduce(0) { $0 + Double($1) / 255 } / Double(side * side)
      #expect((0.02...0.45).contains(ink))
      for k in 0..<side {
        #expect(pixels[k] == 0 && pixels[(side - 1) * side + k] == 0 && pixels[k * side] == 0)
        #expect(pixels[k * side + side - 1] == 0)
      }
    }
  }

  /// IDX files, which our own reader takes for what they are.
  @Test(.enabled(if: idxFolder != nil, "run by scripts/glyphs"), arguments: [Dataset.Split.train, .test])
  func writesGlyphs(_ split: Dataset.Split) throws {
    let folder = try #require(Self.idxFolder)
    let name = split == .train ? "train" : "t10k"
    let examples = (0..<(split == .train ? 30_000 : 5000)).map { Glyphs(split: split).load($0) }
    let images = folder.appending(path: "\(name)-images-idx3-ubyte")
    try AtomicFile.write(Packing.idx([examples.count, 28, 28], examples.flatMap(\.pixels)), to: images)
    try AtomicFile.write(
      Packing.idx([examples.count], examples.map { UInt8($0.label) }),
      to: folder.appending(path: "\(name)-labels-idx1-ubyte"))
    let read = try Dataset.open(images.path, split: split)
    #expect(read.count == examples.count)
    #expect(try read.load(17) == examples[17])
  }

  private static let idxFolder = ProcessInfo.processInfo.environment["DDPM_WRITE_GLYPHS"].map { URL(filePath: $0) }

  @Test(.enabled(if: PictureFolder.url != nil, "set DDPM_PICTURES to a folder to look"))
  func pictures() throws {
    let folder = try #require(PictureFolder.url)
    let images = (0..<160).map { Image8(width: 28, height: 28, channels: 1, bytes: Glyphs(seed: 1).load($0).pixels) }
    try ImageGrid(columns: 16, margin: 1, background: 60, magnification: 2).picture(of: images)
      .writePNG(to: folder.appending(path: "glyphs.png"))
    // Ten of each class
    var rows = [[Image8]](repeating: [], count: 36)
    var i = 0
    while rows.contains(where: { $0.count < 12 }) {
      let example = Glyphs(seed: 2).load(i)
      i += 1
      let label = Int(example.label)
      if rows[label].count < 12 {
        rows[label].append(Image8(width: 28, height: 28, channels: 1, bytes: example.pixels))
      }
    }
    let (left, right) = (
      ImageStrip(margin: 0).picture(ofRows: Array(rows[..<18])),
      ImageStrip(margin: 0).picture(ofRows: Array(rows[18...]))
    )
    try ImageGrid(columns: 2, margin: 6, magnification: 1).picture(of: [left, right]).writePNG(
      to: folder.appending(path: "classes.png"))
  }
}
