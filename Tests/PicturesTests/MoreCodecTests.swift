import Files
import Pictures
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// WebP, GIF and BMP, against files that Pillow wrote.
@Suite struct MoreCodecTests {
  private func decoded(_ bytes: [UInt8]) throws -> Image8 {
    let image = try Image8(decoding: bytes, name: "x")
    let header = try ImageHeader(bytes, name: "x")
    #expect((header.width, header.height, header.channels) == (image.width, image.height, image.channels))
    #expect(header.format == ImageFormat(bytes))
    return image
  }

  @Test func webp() throws {
    #expect(try decoded(PillowFiles.webpLossless) == pattern(width: 13, height: 9, channels: 3))
    let flat = try decoded(PillowFiles.webpLossy)
    #expect((flat.width, flat.height) == (40, 30))
    for (i, byte) in flat.bytes.enumerated() { #expect(abs(Int(byte) - [200, 100, 50][i % 3]) <= 3) }
    #expect(try decoded(PillowFiles.webpAnimated) == pattern(width: 5, height: 4, channels: 3), "the first frame")
  }

  /// What a terminal would draw, by a reading of the standard's own.
  @Test(arguments: [1, 3]) func sixels(channels: Int) throws {
    var image = pattern(width: 13, height: 9, channels: channels)
    for x in 2..<12 { for c in 0..<channels { image[x, 7, c] = 255 } }
    let text = image.sixels
    let start = "\u{1B}P0;1q\"1;1;13;9"
    #expect(text.hasPrefix(start) && text.hasSuffix("\u{1B}\\"))
    #expect(text.contains("!10"), "equal columns are counted")
    var rest = text.dropFirst(start.count).dropLast(2)
    func number() -> Int {
      let digits = rest.prefix { $0.isNumber }
      rest = rest.dropFirst(digits.count)
      return Int(digits) ?? -1
    }
    var palette: [Int: [Int]] = [:]
    var (colour, x, top) = (0, 0, 0)
    var drawn: [[Int]: [Int]] = [:]
    while let first = rest.popFirst() {
      switch first {
      case "#":
        colour = number()
        guard rest.first == ";" else { break }
        palette[colour] = (0..<4).map { _ in
          rest.removeFirst()
          return number()
        }
      case "$": x = 0
      case "-": (x, top) = (0, top + 6)
      default:
        let count = first == "!" ? number() : 1
        let character = first == "!" ? rest.removeFirst() : first
        let bits = Int(try #require(character.asciiValue)) - 63
        for column in x..<x + count {
          for row in 0..<6 where bits >> row & 1 == 1 {
            let before = drawn.updateValue(try #require(palette[colour]), forKey: [column, top + row])
            #expect(before == nil, "drawn twice")
          }
        }
        x += count
      }
    }
    #expect(drawn.count == 13 * 9 && palette.count <= 256)
    for (place, percent) in drawn {
      #expect(percent[0] == 2)
      for c in 0..<3 {
        let byte = Int(image[place[0], place[1], channels == 1 ? 0 : c])
        // Half a level, and what percent round off.
        #expect(abs(percent[1 + c] * 255 / 100 - byte) <= (channels == 1 ? 255 / 126 : 255 / 10) + 3)
      }
    }
  }

  @Test func gif() throws {
    let colours = pattern(width: 5, height: 4, channels: 3)
    #expect(try decoded(PillowFiles.gifColour) == colours)
    #expect(try decoded(PillowFiles.gifAnimated) == colours, "the first frame")
    #expect(try decoded(PillowFiles.gifGrey) == pattern(width: 13, height: 9, channels: 1))
    #expect(try decoded(PillowFiles.gifInterlaced) == pattern(width: 18, height: 17, channels: 1))
    var holed = colours
    for c in 0..<3 { holed[2, 1, c] = 255 }
    #expect(try decoded(PillowFiles.gifTransparent) == holed, "what is transparent lies over white")
  }

  @Test func bmp() throws {
    let colours = pattern(width: 13, height: 9, channels: 3)
    #expect(try decoded(PillowFiles.bmp24) == colours)
    #expect(try decoded(PillowFiles.bmpGrey) == pattern(width: 13, height: 9, channels: 1))
    #expect(try decoded(PillowFiles.bmpPalette) == pattern(width: 5, height: 4, channels: 3))
    // 32 bits without a mask for the alpha: the fourth byte is nothing.
    #expect(try decoded(PillowFiles.bmpAlpha) == pattern(width: 5, height: 4, channels: 3))
    // Rows from the top, which a negative height says.
    var flipped = PillowFiles.bmp24
    flipped.replaceSubrange(22..<26, with: [0xF7, 0xFF, 0xFF, 0xFF])
    let down = try decoded(flipped)
    for y in 0..<9 { for x in 0..<13 { #expect(down[x, y, 1] == colours[x, 8 - y, 1]) } }
  }

  /// A BMP of version 4 with masks, made by hand: Pillow writes none.
  @Test func bmpWithMasks() throws {
    func four(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
    var file = Array("BM".utf8) + four(122 + 8) + four(0) + four(122)
    file += four(108) + four(2) + four(1) + [1, 0, 32, 0] + four(3) + four(8)
    file += four(0) + four(0) + four(0) + four(0) + four(0xFF_0000) + four(0xFF00) + four(0xFF) + four(0xFF00_0000)
    file += [UInt8](repeating: 0, count: 122 - file.count) + [10, 20, 30, 255, 10, 20, 30, 51]
    let image = try decoded(file)
    // 51 of 255 is a fifth.
    #expect(image.bytes == [30, 20, 10, 210, 208, 206])
  }

  @Test(arguments: [(PillowFiles.rgba, 3), (PillowFiles.webpAlpha, 5)]) func alphaLiesOverWhite(
    file: [UInt8], width: Int
  ) throws {
    let image = try decoded(file)
    for y in 0..<image.height {
      for x in 0..<width {
        let alpha = Double(PillowFiles.sample(x, y, 3)) / 255
        for c in 0..<3 {
          let expected = alpha * Double(PillowFiles.sample(x, y, c)) + (1 - alpha) * 255
          #expect(abs(Double(image[x, y, c]) - expected) <= 1)
        }
      }
    }
  }

  /// Every file cut short at every length: an error that names it, or what could be read of it.
  @Test(arguments: [
    PillowFiles.webpLossless, PillowFiles.webpLossy, PillowFiles.webpAlpha, PillowFiles.webpAnimated,
    PillowFiles.gifColour,
    PillowFiles.gifInterlaced, PillowFiles.bmp24, PillowFiles.bmpPalette,
  ]) func cutShortIsSaid(file: [UInt8]) throws {
    let whole = try Image8(decoding: file, name: "x")
    var errors = 0
    for count in 0..<file.count {
      do { #expect(try Image8(decoding: Array(file.prefix(count)), name: "cat") == whole) } catch let error as DataError
      {
        #expect(error.file == "cat" && !error.description.contains("\n"))
        errors += 1
      }
    }
    #expect(errors > file.count / 2)
  }

  @Test func animationsOfOursAreReadBack() throws {
    let frames = (0..<3).map { t in
      var image = pattern(width: 9, height: 7, channels: 3)
      image[t, t, 0] = 255
      return image
    }
    for format in Animation.Format.allCases {
      let bytes = try Animation(frames).encoded(as: format)
      #expect(try decoded(bytes) == frames[0], "\(format)")
    }
    let grey = pattern(width: 9, height: 7, channels: 1)
    #expect(try decoded(Animation([grey]).encoded(as: .gif)) == grey)
  }

  // MARK: Memory

  /// Formats that are decoded whole are refused by their headers where the whole is too much; nothing is allocated.
  @Test func whatMustBeDecodedWholeIsBounded() throws {
    // 8000×8000, interlaced: 192 MB. Not interlaced, the same is read row by row.
    func png(interlaced: UInt8) throws -> [UInt8] {
      var png = try pattern(width: 4, height: 4, channels: 3).png()
      png.replaceSubrange(16..<24, with: [0, 0, 0x1F, 0x40, 0, 0, 0x1F, 0x40])
      png[28] = interlaced
      let crc = crc32(png[12..<29])
      png.replaceSubrange(29..<33, with: [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: crc >> $0) })
      return png
    }
    #expect(try ImageHeader(png(interlaced: 0), name: "x").width == 8000)
    var jpeg = PillowFiles.progressive
    let start = try #require((0..<jpeg.count - 1).first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xC2 })
    jpeg.replaceSubrange(start + 5..<start + 9, with: [0x1F, 0x40, 0x1F, 0x40])
    // Lossless: 14 bits of width − 1 and of height − 1 after the signature 0x2F.
    var webp = PillowFiles.webpLossless
    let bits = 7999 | 7999 << 14
    webp.replaceSubrange(21..<25, with: (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) })
    for bytes in [try png(interlaced: 1), jpeg, webp] {
      let error = #expect(throws: DataError.self) { try Image8(decoding: bytes, name: "x", square: 8, channels: 3) }
      #expect(
        error?.kind == .tooLarge && error?.problem.contains("decoded whole") == true, "\(error?.description ?? "")")
    }
  }

  /// Each scan goes through the whole picture again, and takes a few bytes in the file.
  @Test func scansWithoutEndAreRefused() throws {
    let jpeg = PillowFiles.progressive
    let last = try #require((0..<jpeg.count - 1).last { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xDA })
    let scan = jpeg[last..<jpeg.count - 2]
    func file(_ scans: Int) -> [UInt8] { jpeg.prefix(last) + (0..<scans).flatMap { _ in scan } + [0xFF, 0xD9] }
    #expect(try Image8(decoding: file(20), name: "x").width == 16)
    let error = #expect(throws: DataError.self) { try Image8(decoding: file(200), name: "x") }
    #expect(error?.problem.contains("more than 100 scans") == true)
  }

  @Test(arguments: [([1 << 14, 1 << 13], "16384×8192"), ([0x7FFF_FFFF, 0x7FFF_FFFF], "2147483647×2147483647")])
  func aHugeBMPIsRefused(size: [Int], text: String) {
    var bmp = PillowFiles.bmp24
    for (i, value) in size.enumerated() {
      bmp.replaceSubrange(18 + 4 * i..<22 + 4 * i, with: (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) })
    }
    let error = #expect(throws: DataError.self) { try Image8(decoding: bmp, name: "x") }
    #expect(error?.kind == .tooLarge && error?.problem.hasPrefix(text) == true)
  }

  /// Rows filtered as they come give the bytes of the whole picture's way.
  @Test(arguments: [(31, 17), (17, 31), (20, 20), (1, 9), (64, 5)], [1, 8, 20, 33])
  func squaresFromRowsAreTheSame(size: (Int, Int), side: Int) throws {
    for channels in [1, 3] {
      let image = pattern(width: size.0, height: size.1, channels: channels)
      for (bytes, format) in [(try image.png(), "PNG"), (try image.encoded(as: .webp, quality: 100), "WebP")] {
        let whole = try Image8(decoding: bytes, name: "x", shrinkingTo: side)
        for wanted in [1, 3] {
          let expected = whole.converted(channels: wanted).centreSquare(side: side)
          #expect(
            try Image8(decoding: bytes, name: "x", square: side, channels: wanted) == expected,
            "\(format) \(channels) \(wanted)")
        }
      }
    }
    let turned = try Image8(decoding: PillowFiles.exif6, name: "x", square: side, channels: 1)
    #expect(turned[side / 2, 0, 0] <= turned[side / 2, side - 1, 0] && turned.width == side)
  }

  @Test func aLargeWebPIsDecodedSmaller() throws {
    var image = Image8(width: 320, height: 240, channels: 3)
    for y in 0..<240 { for x in 0..<320 { (image[x, y, 0], image[x, y, 1]) = (UInt8(x / 2), UInt8(y)) } }
    let bytes = try image.encoded(as: .webp, quality: 95)
    let small = try Image8(decoding: bytes, name: "x", shrinkingTo: 16)
    #expect((small.width, small.height) == (80, 60))
    let (a, b) = (small.centreSquare(side: 16), image.centreSquare(side: 16))
    #expect(zip(a.bytes, b.bytes).allSatisfy { abs(Int($0) - Int($1)) <= 6 })
  }

  // MARK: Writing

  @Test func picturesAreWrittenInEveryFormat() throws {
    let image = pattern(width: 31, height: 17, channels: 3)
    #expect(try decoded(image.encoded(as: .png)) == image)
    #expect(try decoded(image.encoded(as: .webp, quality: 100)) == image)
    var smooth = Image8(width: 64, height: 64, channels: 3)
    for y in 0..<64 {
      for x in 0..<64 { (smooth[x, y, 0], smooth[x, y, 1], smooth[x, y, 2]) = (UInt8(3 * x), UInt8(3 * y), 90) }
    }
    for format in [Image8.FileFormat.jpeg, .webp] {
      let coarse = try smooth.encoded(as: format, quality: 20), fine = try smooth.encoded(as: format, quality: 95)
      #expect(coarse.count < fine.count)
      #expect(zip(try decoded(fine).bytes, smooth.bytes).allSatisfy { abs(Int($0) - Int($1)) <= 12 }, "\(format)")
    }
  }

  @Test func theNameChoosesTheFormat() throws {
    try withTemporaryFolder { folder in
      let image = pattern(width: 8, height: 8, channels: 1)
      for (name, format) in [("a.png", ImageFormat.png), ("a.JPG", .jpeg), ("a.jpeg", .jpeg), ("a.webp", .webp)] {
        let url = folder.appending(path: name)
        try image.write(to: url)
        #expect(try ImageFormat(FileBytes.read(url.path, limit: 1 << 20)) == format)
        #expect(try Image8(contentsOf: url).width == 8)
      }
      for name in ["a.gif", "a", "a.bmp"] {
        let error = #expect(throws: DataError.self) { try image.write(to: folder.appending(path: name)) }
        #expect(error?.remedy == "end it in .png, .jpg or .webp")
      }
    }
  }
}
