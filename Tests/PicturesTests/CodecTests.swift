import Files
import Pictures
import TestSupport
import Testing

@Suite struct CodecTests {
  @Test func pngDepthsAndColourTypes() throws {
    #expect(try Image8(decoding: PillowFiles.grey, name: "grey") == pattern(width: 5, height: 3, channels: 1))
    #expect(try Image8(decoding: PillowFiles.sixteen, name: "16") == pattern(width: 3, height: 2, channels: 1))
    let bits: [UInt8] = [0, 0, 0, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 0]
    #expect(try Image8(decoding: PillowFiles.oneBit, name: "1 bit").bytes == bits.map { $0 * 255 })
    let palette: [UInt8] = [17, 17, 76, 125, 125, 76, 125, 125, 193, 193, 125, 193, 193, 17, 76]
    let decoded = try Image8(decoding: PillowFiles.palette, name: "palette")
    #expect(decoded.channels == 3)
    #expect(decoded == Image8(width: 5, height: 3, channels: 1, bytes: palette).converted(channels: 3))
  }

  @Test(arguments: [(PillowFiles.rgba, 3), (PillowFiles.greyAlpha, 1)])
  func alphaIsCompositedOverWhite(file: [UInt8], channels: Int) throws {
    let image = try Image8(decoding: file, name: "alpha")
    #expect(image.channels == channels)
    for y in 0..<2 {
      for x in 0..<3 {
        let alpha = Double(PillowFiles.sample(x, y, channels)) / 255
        for c in 0..<channels {
          let expected = alpha * Double(PillowFiles.sample(x, y, c)) + (1 - alpha) * 255
          #expect(abs(Double(image[x, y, c]) - expected) <= 1)
        }
      }
    }
  }

  @Test func cmykJPEG() throws {
    let image = try Image8(decoding: PillowFiles.cmyk, name: "cmyk")
    #expect((image.width, image.height, image.channels) == (8, 8, 3))
    for (c, expected) in [207, 46, 190].enumerated() { #expect(abs(Int(image[3, 3, c]) - expected) <= 2) }
  }

  @Test func progressiveJPEG() throws {
    let image = try Image8(decoding: PillowFiles.progressive, name: "progressive")
    for (c, expected) in [200, 100, 50].enumerated() { #expect(abs(Int(image[9, 9, c]) - expected) <= 2) }
  }

  @Test func exifTurnsTheImage() throws {
    // Stored 16×8, dark on the left; seen 8×16, dark on top.
    let image = try Image8(decoding: PillowFiles.exif6, name: "exif")
    #expect((image.width, image.height) == (8, 16))
    #expect(image[4, 2, 0] < 40 && image[4, 13, 0] > 210)
    let header = try ImageHeader(PillowFiles.exif6, name: "exif")
    #expect((header.width, header.height, header.channels) == (8, 16, 1))
  }

  @Test(arguments: [1, 3])
  func pngRoundTripIsExact(channels: Int) throws {
    let image = pattern(width: 31, height: 17, channels: channels)
    #expect(try Image8(decoding: image.png(), name: "x") == image)
  }

  @Test func jpegRoundTripAndShrinkingDecode() throws {
    var image = Image8(width: 640, height: 480, channels: 3)
    for y in 0..<480 {
      for x in 0..<640 { (image[x, y, 0], image[x, y, 1], image[x, y, 2]) = (UInt8(x / 3), UInt8(y / 2), 90) }
    }
    let bytes = try image.jpeg(quality: 95)
    let whole = try Image8(decoding: bytes, name: "x")
    #expect(zip(whole.bytes, image.bytes).allSatisfy { abs(Int($0) - Int($1)) <= 6 })
    let small = try Image8(decoding: bytes, name: "x", shrinkingTo: 32)
    #expect((small.width, small.height) == (160, 120))
    let (a, b) = (small.centreSquare(side: 32), whole.centreSquare(side: 32))
    #expect(zip(a.bytes, b.bytes).allSatisfy { abs(Int($0) - Int($1)) <= 4 })
  }

  @Test func damageIsNamed() throws {
    let png = try pattern(width: 40, height: 40, channels: 3).png()
    let jpeg = try pattern(width: 40, height: 40, channels: 3).jpeg()
    for (bytes, kind) in [
      (Array(png.prefix(png.count / 2)), DataError.Kind.corrupt), (Array(jpeg.prefix(jpeg.count / 2)), .corrupt),
      (Array(png.prefix(20)), .corrupt), (Array(jpeg.prefix(20)), .corrupt), ([], .corrupt), ([1, 2, 3], .unsupported),
    ] {
      let error = #expect(throws: DataError.self) { try Image8(decoding: bytes, name: "folder/cat.png") }
      #expect(error?.kind == kind)
      #expect(error?.description.hasPrefix("folder/cat.png: ") == true)
    }
  }

  @Test func aHugeHeaderIsRefusedBeforeAllocation() throws {
    // IHDR of 65,536 × 65,536, its CRC right.
    var png = try pattern(width: 4, height: 4, channels: 1).png()
    png.replaceSubrange(16..<24, with: [0, 1, 0, 0, 0, 1, 0, 0])
    let crc = crc32(png[12..<29])
    png.replaceSubrange(29..<33, with: [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: crc >> $0) })
    let error = #expect(throws: DataError.self) { try Image8(decoding: png, name: "bomb.png") }
    #expect(error?.kind == .tooLarge)
    #expect(error?.description == "bomb.png: 65536×65536 pixels, where 64 megapixels are the limit (shrink it first)")
  }
}

@Suite struct ResizeTests {
  /// Sums, CRC-32 and first samples of what Pillow 13 makes of the 13×9 pattern.
  @Test(arguments: [
    (Image8.Filter.box, 5, 4, 811_280_076, [70, 171, 102, 172, 145, 118, 102, 118, 133]),
    (.box, 17, 11, 2_189_462_040, [0, 101, 202, 37, 138, 239, 37, 138, 239]),
    (.triangle, 5, 4, 4_084_053_428, [91, 152, 107, 136, 142, 118, 120, 114, 125]),
    (.triangle, 17, 11, 47_040_414, [0, 101, 202, 24, 125, 226, 52, 153, 149]),
    (.bicubic, 5, 4, 4_237_792_876, [84, 156, 103, 142, 144, 116, 116, 111, 129]),
    (.bicubic, 17, 11, 3_872_765_084, [0, 97, 208, 19, 120, 250, 49, 150, 157]),
    (.lanczos, 5, 4, 2_137_936_127, [81, 156, 99, 144, 145, 114, 114, 107, 131]),
    (.lanczos, 17, 11, 215_094_494, [0, 97, 206, 18, 117, 255, 53, 147, 158]),
  ])
  func matchesPillowByteForByte(filter: Image8.Filter, width: Int, height: Int, crc: UInt32, first: [UInt8]) {
    let image = pattern(width: 13, height: 9, channels: 3).resized(width: width, height: height, filter: filter)
    #expect(Array(image.bytes.prefix(9)) == first)
    #expect(crc32(image.bytes[...]) == crc)
  }

  @Test func aConstantStaysConstant() {
    for filter in Image8.Filter.allCases {
      let image = Image8(width: 37, height: 21, channels: 1, fill: 201).resized(width: 9, height: 50, filter: filter)
      #expect(image.bytes.allSatisfy { $0 == 201 })
    }
  }

  @Test func theCentreIsKept() {
    var image = Image8(width: 30, height: 10, channels: 1)
    for y in 0..<10 { for x in 10..<20 { image[x, y, 0] = 255 } }
    #expect(image.centreSquare(side: 5) == Image8(width: 5, height: 5, channels: 1, fill: 255))
  }

  @Test func planesAndBack() {
    let image = pattern(width: 7, height: 5, channels: 3)
    #expect(image.planes[7 * 5 + 8] == image[1, 1, 1])
    #expect(Image8(planes: image.planes, width: 7, height: 5, channels: 3) == image)
    #expect(image.converted(channels: 1).converted(channels: 3).channels == 3)
  }

  @Test func gridsAreLaidOutInRows() {
    let images = (0..<5).map { Image8(width: 4, height: 3, channels: 1, fill: UInt8($0 * 10)) }
    let grid = ImageGrid(columns: 3, margin: 1, background: 255).picture(of: images)
    #expect((grid.width, grid.height) == (16, 9))
    #expect(grid[0, 0, 0] == 255 && grid[1, 1, 0] == 0 && grid[6, 1, 0] == 10 && grid[6, 5, 0] == 40)
    #expect(grid[11, 5, 0] == 255)
    let strip = ImageStrip(margin: 0, magnification: 2).picture(of: images)
    #expect((strip.width, strip.height) == (40, 6))
  }

  @Test func pastingClips() {
    var image = Image8(width: 4, height: 4, channels: 3)
    image.paste(Image8(width: 3, height: 3, channels: 1, fill: 9), x: -2, y: 3)
    image.paste(Image8(width: 3, height: 3, channels: 1, fill: 9), x: 20, y: -7)
    #expect(image.bytes.filter { $0 == 9 }.count == 3 && image[0, 3, 2] == 9)
  }
}
