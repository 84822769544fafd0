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

/// Folders and archives that are meant to do harm, or merely odd.
@Suite(.mustEnd) struct HostileDataTests {
  private static let image = try? pattern(width: 8, height: 8, channels: 1).png()

  private func png() throws -> [UInt8] { try #require(Self.image) }

  // MARK: Links

  @Test func circlesOfLinksEndAndEachImageIsCountedOnce() throws {
    try withTemporaryFolder { folder in
      for name in ["a/1.png", "a/2.png", "b/3.png"] { try save(png(), folder, name) }
      symlink(".", folder.appending(path: "a/self").path)
      symlink("..", folder.appending(path: "a/up").path)
      symlink("../a", folder.appending(path: "b/other").path)
      symlink(folder.path, folder.appending(path: "b/whole").path)
      let data = try Dataset.open(folder.path)
      #expect(data.count == 3 && data.classes == ["a", "b"] && data.skipped.isEmpty)
      #expect(try (0..<3).map { try data.load($0).label } == [0, 0, 1])
    }
  }

  /// Two links in each of 24 folders would be 2²⁴ folders.
  @Test func manyLinksAreNoExplosion() throws {
    try withTemporaryFolder { folder in
      try save(png(), folder, "1.png")
      for i in 0..<24 { for name in ["x", "y"] { symlink(".", folder.appending(path: "\(name)\(i)").path) } }
      let data = try Dataset.open(folder.path)
      #expect(data.count == 1 && data.skipped.isEmpty)
    }
  }

  @Test func whatOnlyALinkLeadsToIsFollowed() throws {
    try withTemporaryFolder { folder in
      try save(png(), folder, "elsewhere/x/1.png")
      try save(png(), folder, "elsewhere/2.png")
      try save(png(), folder, "data/z/3.png")
      symlink("../elsewhere/x", folder.appending(path: "data/a").path)
      symlink("../../elsewhere/2.png", folder.appending(path: "data/z/2.png").path)
      let data = try Dataset.open(folder.path + "/data")
      #expect(data.count == 3 && data.classes == ["a", "z"])
    }
  }

  /// A second name for an image does not make it count twice, and is said.
  @Test func secondNamesAreSkippedAndSaid() throws {
    try withTemporaryFolder { folder in
      try save(png(), folder, "b.png")
      symlink("b.png", folder.appending(path: "a.png").path)
      link(folder.appending(path: "b.png").path, folder.appending(path: "c.png").path)
      let data = try Dataset.open(folder.path)
      #expect(data.count == 1 && data.skipped.map(\.kind) == [.duplicate, .duplicate])
      #expect(data.skipped.map(\.file).sorted() == [folder.path + "/a.png", folder.path + "/c.png"])
    }
  }

  // MARK: Names

  @Test func namesThatAreNotUTF8AreSkippedAndSaid() throws {
    try withTemporaryFolder { folder in
      try save(png(), folder, "a.png")
      let bytes = Array((folder.path + "/caf").utf8) + [0xE9] + Array(".png".utf8) + [0]
      let descriptor = open(bytes.map { CChar(bitPattern: $0) }, O_WRONLY | O_CREAT, 0o600)
      try #require(descriptor >= 0)
      close(descriptor)
      let data = try Dataset.open(folder.path)
      #expect(data.count == 1)
      #expect(data.skipped.map(\.description) == ["\(folder.path)/caf\u{FFFD}.png: its name is not UTF-8 (rename it)"])
      var tar = Packing.tar([("good.png", try png()), ("bad.png", try png())])
      let place = try #require((0..<tar.count).first { tar[$0...].starts(with: "bad.png".utf8) })
      tar[place] = 0xE9
      tar.replaceSubrange(place..<place + 512, with: Self.sealed(Array(tar[place..<place + 512])))
      try save(tar, folder, "x.tar")
      let archive = try Dataset.open(folder.path + "/x.tar")
      #expect(archive.count == 1 && archive.skipped.first?.problem == "its name is not UTF-8")
    }
  }

  @Test func ignoredFilesAreCountedBySuffix() throws {
    try withTemporaryFolder { folder in
      let files: [Packing.File] = [
        ("a/1.png", try png()), ("b/2.png", try png()), ("notes.txt", [1]), ("a/more.TXT", [1]), ("b/clip.mp4", [1]),
        ("README", [1]), ("b/.hidden", [1]), ("x.\u{1b}[2J", [1]),
      ]
      for file in files { try save(file.bytes, folder, "photos/" + file.path) }
      try save(Packing.tar(files), folder, "photos.tar")
      for name in ["photos", "photos.tar"] {
        let data = try Dataset.open(folder.path + "/" + name)
        #expect(data.count == 2)
        #expect(data.ignored == [".txt": 2, ".mp4": 1, "": 1, ".\u{1b}[2j": 1])
        #expect(data.description.contains("ignored 2 .txt, 1 without a suffix, 1 .\\u{1b}[2j, 1 .mp4"))
      }
    }
  }

  @Test func everyFormatIsRead() throws {
    try withTemporaryFolder { folder in
      let image = pattern(width: 8, height: 8, channels: 3)
      try save(image.png(), folder, "1.png")
      try save(image.jpeg(), folder, "2.jpg")
      try save(image.encoded(as: .webp, quality: 100), folder, "3.webp")
      try save(Animation([image]).encoded(as: .gif), folder, "4.gif")
      try save(PillowFiles.bmp24, folder, "5.bmp")
      let data = try Dataset.open(folder.path, imageSize: 8)
      #expect(data.count == 5 && data.ignored.isEmpty && data.skipped.isEmpty)
      for i in [0, 2, 3] { #expect(try data.load(i).pixels == image.planes) }
    }
  }

  /// A class for each image took the square of their number.
  @Test func asManyClassesAsImages() throws {
    try withTemporaryFolder { folder in
      let png = try png()
      try save(Packing.tar((0..<3000).map { ("class \($0)/1.png", png) }), folder, "a.tar")
      let data = try Dataset.open(folder.path + "/a.tar")
      #expect(data.count == 3000 && data.classes.count == 3000)
      for i in stride(from: 0, to: 3000, by: 501) {
        #expect(data.classes[Int(try data.load(i).label)].hasPrefix("class "))
      }
    }
  }

  // MARK: Special files

  @Test func specialFilesAreErrorsOrSkipped() throws {
    try withTemporaryFolder { folder in
      let fifo = folder.appending(path: "data/x.png").path
      try save(png(), folder, "data/a.png")
      mkfifo(fifo, 0o600)
      let data = try Dataset.open(folder.path + "/data")
      #expect(
        data.count == 1 && data.skipped.map(\.description) == ["\(fifo): is a FIFO, where a regular file is wanted"])
      for path in [fifo, "/dev/zero"] {
        let error = #expect(throws: FileError.self) { try Dataset.open(path) }
        #expect(error?.description.contains("where a regular file is wanted") == true)
      }
    }
  }

  @Test func sparseFilesAreRefusedByTheirSize() throws {
    try withTemporaryFolder { folder in
      for name in ["a.png", "train-images-idx3-ubyte", "data_batch_1.bin"] {
        let inside = folder.appending(path: name + "-folder/" + name)
        try save(
          name == "a.png" ? try png() : Packing.idx([1 << 20, 1 << 9, 1 << 9], []), folder, name + "-folder/" + name)
        try #require(truncate(inside.path, 200_000_000_000) == 0)
        #expect(throws: FileError.self) { try Dataset.open(folder.path + "/" + name + "-folder") }
      }
    }
  }

  // MARK: Bombs

  /// A gzip member of 1 MiB of zeros in 1 kB; members follow one another.
  private static let zeros: [UInt8] = {
    // deflate: a zero, then copies of 258 bytes from one byte back, with the fixed codes; written bit by bit.
    var bits: [UInt8] = [1, 1, 0]
    func literal(_ value: Int) { for shift in (0..<8).reversed() { bits.append(UInt8((0x30 + value) >> shift & 1)) } }
    literal(0)
    // Code 285 (length 258): 8 bits, 0xC0 + 5; distance code 0: 5 zero bits.
    let copies = ((1 << 20) - 1) / 258
    for _ in 0..<copies {
      for shift in (0..<8).reversed() { bits.append(UInt8(0xC5 >> shift & 1)) }
      bits += [0, 0, 0, 0, 0]
    }
    for _ in 0..<(1 << 20) - 1 - copies * 258 { literal(0) }
    bits += [0, 0, 0, 0, 0, 0, 0]
    while bits.count % 8 != 0 { bits.append(0) }
    let deflated = stride(from: 0, to: bits.count, by: 8).map { at in
      (0..<8).reduce(0) { $0 | bits[at + $1] << UInt8($1) } as UInt8
    }
    func four(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
    return [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255] + deflated + four(0xA738_EA1C) + four(1 << 20)
  }()

  /// A tar header with its checksum.
  private static func sealed(_ header: [UInt8]) -> [UInt8] {
    var header = header
    header.replaceSubrange(148..<156, with: [UInt8](repeating: 32, count: 8))
    let sum = String(header.reduce(0) { $0 + Int($1) }, radix: 8)
    let digits = Array((String(repeating: "0", count: 6 - sum.count) + sum).utf8)
    header.replaceSubrange(148..<156, with: digits + [0, 32])
    return header
  }

  /// A .tar.gz with one file of so many MiB that begins with `head`.
  private func bomb(_ name: String, mebibytes: Int, head: [UInt8] = []) -> [UInt8] {
    var header = Array(Packing.tar([(name, [])]).prefix(512))
    let size = String(mebibytes << 20, radix: 8)
    header.replaceSubrange(124..<135, with: Array((String(repeating: "0", count: 11 - size.count) + size).utf8))
    header = Self.sealed(header)
    let first = Packing.gzip(header + head + [UInt8](repeating: 0, count: 512 - head.count))
    return first + [[UInt8]](repeating: Self.zeros, count: mebibytes).joined()
  }

  @Test func theBombIsABomb() throws {
    #expect(try Gzip.inflate(Self.zeros, name: "x", limit: .max) == [UInt8](repeating: 0, count: 1 << 20))
  }

  /// 1 GiB from 5 MB: what is no picture is not unpacked, and what is one only as far as its pixels go.
  @Test(arguments: ["a.png", "a.jpg", "a.gif", "a.txt"], [false, true])
  func anArchiveThatHoldsTooMuchIsRefused(name: String, isHeaded: Bool) throws {
    try withTemporaryFolder { folder in
      try save(bomb(name, mebibytes: 1024, head: isHeaded ? png() : []), folder, "bomb.tar.gz")
      let error = #expect(throws: DataError.self) { try Dataset.open(folder.path + "/bomb.tar.gz", imageSize: 8) }
      #expect(error?.kind == .tooLarge)
      #expect(error?.problem.contains("that are not read here") == true, "\(error?.description ?? "")")
    }
  }

  /// An IDX file that says it holds a gigabyte, and a CIFAR batch that goes on and on.
  @Test func aDataSetFromAFewKilobytesIsRefused() throws {
    try withTemporaryFolder { folder in
      let header = Packing.gzip(Packing.idx([1 << 20, 32, 32], []))
      try save(header + [[UInt8]](repeating: Self.zeros, count: 64).joined(), folder, "idx/train-images-idx3-ubyte.gz")
      let error = #expect(throws: DataError.self) { try Dataset.open(folder.path + "/idx") }
      #expect(error?.kind == .tooLarge && error?.problem == "asks for 1048576×32×32 bytes")

      try save(bomb("data_batch_1.bin", mebibytes: 20), folder, "cifar.tar.gz")
      let cifar = #expect(throws: DataError.self) {
        try Dataset.open(folder.path + "/cifar.tar.gz", options: .init(memoryLimit: 8 << 20))
      }
      #expect(cifar?.kind == .tooLarge && cifar?.problem == "the archive holds more than 8 MiB of data")
    }
  }
}
