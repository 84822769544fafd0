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

@Suite struct AnimationTests {
  static let grey = (0..<5).map { t in
    Image8(width: 20, height: 12, channels: 1, bytes: (0..<240).map { UInt8(($0 + 17 * t) % 256) })
  }
  static let colour = (0..<4).map { t in
    var image = pattern(width: 33, height: 21, channels: 3)
    image[t, 0, 0] = 255
    return image
  }

  @Test(arguments: [grey, colour])
  func apngIsAPNGWithEveryFrameInIt(frames: [Image8]) throws {
    let bytes = try Animation(frames, delay: 40).encoded(as: .apng)
    #expect(try Image8(decoding: bytes, name: "apng") == frames[0], "a viewer without animation shows the first frame")
    // Every later frame becomes a PNG again, by putting its data into IDAT.
    let chunks = try pngChunks(bytes)
    #expect(chunks.map(\.type).filter { $0 == "fcTL" }.count == frames.count)
    let header = try #require(chunks.first { $0.type == "IHDR" })
    var pieces: [[UInt8]] = []
    for chunk in chunks {
      if chunk.type == "fcTL" { pieces.append([]) }
      if chunk.type == "IDAT" { pieces[pieces.count - 1] += chunk.data }
      if chunk.type == "fdAT" { pieces[pieces.count - 1] += chunk.data.dropFirst(4) }
    }
    for (piece, frame) in zip(pieces, frames) {
      let png = Array(bytes.prefix(8)) + chunk("IHDR", header.data) + chunk("IDAT", piece) + chunk("IEND", [])
      #expect(try Image8(decoding: png, name: "frame") == frame)
    }
    // fcTL and fdAT share one sequence of numbers.
    let numbers = chunks.filter { $0.type == "fcTL" || $0.type == "fdAT" }.map { $0.data.prefix(4).last ?? 255 }
    #expect(numbers == (0..<UInt8(numbers.count)).map { $0 })
  }

  @Test func gifHasItsParts() throws {
    let bytes = try Animation(Self.grey, delay: 40, lastDelay: 1000).encoded(as: .gif)
    #expect(bytes.starts(with: Array("GIF89a".utf8)) && bytes.last == 0x3B)
    #expect(bytes[6..<10] == [20, 0, 12, 0])
    // The global map: every grey.
    let greys: [UInt8] = (0..<768).map { UInt8($0 / 3) }
    #expect(Array(bytes[13..<781]) == greys)
    #expect(String(decoding: bytes, as: UTF8.self).contains("NETSCAPE2.0"))
  }

  @Test func webpHasItsFrames() throws {
    let bytes = try Animation(Self.colour).encoded(as: .webp)
    #expect(bytes.starts(with: Array("RIFF".utf8)) && Array(bytes[8..<12]) == Array("WEBP".utf8))
    var frames = 0
    for i in 0..<bytes.count - 4 where Array(bytes[i..<i + 4]) == Array("ANMF".utf8) { frames += 1 }
    #expect(frames == 4)
  }

  @Test func theFileNameChoosesTheFormat() throws {
    try withTemporaryFolder { folder in
      for name in ["a.gif", "a.png", "a.webp", "a.apng"] {
        try Animation(Self.grey).write(to: folder.appending(path: name))
      }
      let error = #expect(throws: DataError.self) {
        try Animation(Self.grey).write(to: folder.appending(path: "a.mp4"))
      }
      #expect(error?.remedy == "end it in .gif, .png (APNG) or .webp")
      #expect(try names(in: folder) == ["a.apng", "a.gif", "a.png", "a.webp"])
    }
  }

  @Test(.enabled(if: PictureFolder.url != nil, "set DDPM_PICTURES to a folder to look"))
  func pictures() throws {
    let folder = try #require(PictureFolder.url)
    // A glyph appears from noise, and a photo-like gradient of many colours.
    var random = SystemRandomNumberGenerator()
    let clean = (0..<16).map { Image8(width: 28, height: 28, channels: 1, bytes: Glyphs(seed: 4).load($0).pixels) }
    let frames = (0...20).map { t in
      ImageGrid(margin: 1, magnification: 2).picture(
        of: clean.map { image in
          var image = image
          for i in image.bytes.indices {
            let noise = Double(random.next() % 256)
            image.bytes[i] = UInt8((Double(image.bytes[i]) * Double(t) + noise * Double(20 - t)) / 20)
          }
          return image
        })
    }
    for name in ["noise.gif", "noise.png", "noise.webp"] {
      try Animation(frames, delay: 80, lastDelay: 1000).write(to: folder.appending(path: name))
    }
    let colours = (0..<6).map { t in
      var image = Image8(width: 160, height: 120, channels: 3)
      for y in 0..<120 {
        for x in 0..<160 {
          image[x, y, 0] = UInt8(x * 255 / 160)
          image[x, y, 1] = UInt8(y * 255 / 120)
          image[x, y, 2] = UInt8((x + y + 20 * t) % 256)
        }
      }
      return image
    }
    for name in ["colour.gif", "colour.png", "colour.webp"] {
      try Animation(colours, delay: 100).write(to: folder.appending(path: name))
    }
  }
}

func pngChunks(_ bytes: [UInt8]) throws -> [(type: String, data: [UInt8])] {
  var chunks: [(String, [UInt8])] = []
  var position = 8
  while position < bytes.count {
    let length = bytes[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
    let body = bytes[position + 4..<position + 8 + length]
    let crc = bytes[position + 8 + length..<position + 12 + length].reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
    #expect(crc == crc32(body))
    chunks.append((String(decoding: body.prefix(4), as: UTF8.self), Array(body.dropFirst(4))))
    position += 12 + length
  }
  return chunks
}

private func chunk(_ type: String, _ data: [UInt8]) -> [UInt8] {
  func four(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
  let body = Array(type.utf8) + data
  return four(UInt32(data.count)) + body + four(crc32(body[...]))
}
