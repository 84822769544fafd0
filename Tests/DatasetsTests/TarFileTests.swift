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

/// What `ddpm sample --out FILE.tar` writes, read by libarchive.
@Suite struct TarFileTests {
  @Test func isReadAsAnArchiveOfPictures() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "samples.tar")
      let pictures = (0..<3).map { i in Image8(width: 5 + 40 * i, height: 7, channels: 3, fill: UInt8(60 * i)) }
      let tar = TarFile(try AtomicFile(url))
      for (i, picture) in pictures.enumerated() { try tar.add("0000\(i).png", picture.png()) }
      #expect(!FileManager.default.fileExists(atPath: url.path))
      try tar.finish()
      #expect(try Data(contentsOf: url).count % 512 == 0)
      let data = try Dataset.open(url.path, options: .init(imageSize: 8))
      #expect(data.count == 3 && data.skipped.isEmpty)
    }
  }
}
