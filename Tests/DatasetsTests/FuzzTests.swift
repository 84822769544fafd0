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

/// Damages files in every way a disk or a network might, and some that only an enemy would. The only right answers are a
/// result of the promised shape, or one of our errors that names the file.
@Suite struct FuzzTests {
  /// Flips bits, overwrites, removes, repeats or cuts, once or a few times.
  static func damaged(_ bytes: [UInt8], _ random: inout CounterRandom) -> [UInt8] {
    var bytes = bytes
    for _ in 0...Int(random.next() % 4) where !bytes.isEmpty {
      let at = Int(random.next() % UInt64(bytes.count)), count = Int(random.next() % 16)
      let end = min(bytes.count, at + count)
      switch random.next() % 7 {
      case 0: bytes[at] ^= 1 << UInt8(random.next() % 8)
      case 1: bytes[at] = UInt8(truncatingIfNeeded: random.next())
      case 2: for i in at..<end { bytes[i] = random.next() & 1 == 0 ? 0 : 255 }
      case 3: bytes.removeSubrange(at..<end)
      case 4: bytes.insert(contentsOf: bytes[at..<end], at: at)
      case 5: bytes.removeSubrange(at...)
      // Headers are short, and matter most.
      default: bytes[at % min(64, bytes.count)] = UInt8(truncatingIfNeeded: random.next())
      }
    }
    return bytes
  }

  /// Restores a PNG's checksums, so that damage gets past them.
  static func resealed(_ png: [UInt8]) -> [UInt8] {
    var png = png
    var position = 8
    while position + 12 <= png.count {
      let length = png[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
      guard position + 12 + length <= png.count else { break }
      let crc = crc32(png[position + 4..<position + 8 + length])
      for (i, shift) in [24, 16, 8, 0].enumerated() {
        png[position + 8 + length + i] = UInt8(truncatingIfNeeded: crc >> shift)
      }
      position += 12 + length
    }
    return png
  }

  @Test(arguments: 0..<9)
  func images(kind: Int) throws {
    let image = pattern(width: 24, height: 17, channels: 3)
    let seeds: [[UInt8]] = [
      try image.png(), try image.converted(channels: 1).png(), try image.jpeg(),
      try image.converted(channels: 1).jpeg(),
      PillowFiles.palette, PillowFiles.rgba, PillowFiles.cmyk, PillowFiles.exif6, PillowFiles.progressive,
    ]
    let original = seeds[kind]
    var random = CounterRandom(seed: 1, stream: 1, index: kind)
    var (good, bad) = (0, 0)
    for round in 0..<600 {
      var bytes = Self.damaged(original, &random)
      if round % 2 == 0, ImageFormat(bytes) == .png { bytes = Self.resealed(bytes) }
      do {
        let image = try Image8(decoding: bytes, name: "fuzz", shrinkingTo: round % 3 == 0 ? 4 : nil)
        #expect(image.bytes.count == image.width * image.height * image.channels)
        good += 1
      } catch let error as DataError {
        #expect(error.file == "fuzz" && !error.description.contains("\n"))
        bad += 1
      }
    }
    #expect(bad > 100, "\(good) good, \(bad) bad")
  }

  @Test(arguments: [
    "train-images-idx3-ubyte", "train-images-idx3-ubyte.gz", "data_batch_1.bin", "a.tar", "a.tar.gz", "a.zip",
  ])
  func files(name: String) throws {
    let images = Packing.idx([3, 4, 4], (0..<48).map { UInt8($0) })
    let png = try pattern(width: 6, height: 6, channels: 3).png()
    let members: [Packing.File] = [("a/1.png", png), ("b/2.png", png), ("b/3.png", png)]
    let original: [UInt8]
    switch name {
    case "train-images-idx3-ubyte": original = images
    case "train-images-idx3-ubyte.gz": original = Packing.gzip(images)
    case "data_batch_1.bin": original = Packing.cifar(0..<2)
    case "a.tar": original = Packing.tar(members)
    case "a.tar.gz": original = Packing.gzip(Packing.tar(members))
    default: original = Packing.zip(members)
    }
    var random = CounterRandom(seed: 2, stream: 1, index: name.utf8.reduce(0) { $0 * 31 % 65_521 + Int($1) })
    try withTemporaryFolder { folder in
      let url = folder.appending(path: name)
      var bad = 0
      for round in 0..<400 {
        let bytes = Self.damaged(original, &random)
        try Data(bytes).write(to: url)
        do {
          let data = try Dataset.open(url.path, options: .init(skipBadImages: round % 2 == 0, memoryLimit: 1 << 20))
          for i in 0..<data.count { #expect(try data.load(i).pixels.count == data.shape.count) }
        } catch let error as DataError {
          #expect(error.file.hasPrefix(url.path) && !error.description.contains("\n"), "\(error)")
          bad += 1
        } catch let error as FileError {
          Issue.record("a file that is there is no FileError: \(error)")
        }
      }
      #expect(bad > 30)
    }
  }
}
