import CGIF
import Files

extension Animation {
  /// Animated GIF. Grey, and up to 256 colours in a frame, are exact; more are reduced to the best 256, frame by frame.
  func gif() throws -> [UInt8] {
    guard width <= 65_535, height <= 65_535 else { throw failure("GIF", "its limit is 65535 pixels each way") }
    final class Output { var bytes: [UInt8] = [] }
    let output = Output()
    var status: Int32 = 0
    // giflib calls back with our pointer; `output` outlives the encoder.
    let gif = EGifOpen(
      Unmanaged.passUnretained(output).toOpaque(),
      { gif, bytes, count in
        guard let user = gif?.pointee.UserData else { return 0 }
        Unmanaged<Output>.fromOpaque(user).takeUnretainedValue().bytes
          .append(contentsOf: UnsafeBufferPointer(start: bytes, count: Int(count)))
        return count
      }, &status)
    guard let gif else { throw failure("GIF", Self.reason(status)) }

    var isOpen = true
    defer { if isOpen { EGifCloseFile(gif, nil) } }
    func check(_ result: Int32) throws {
      if result != GIF_OK { throw failure("GIF", Self.reason(gif.pointee.Error)) }
    }

    EGifSetGifVersion(gif, true)
    let greys = isGrey ? try Self.map((0...255).map { [$0, $0, $0] }) : nil
    defer { GifFreeMapObject(greys) }
    try check(EGifPutScreenDesc(gif, Int32(width), Int32(height), 8, 0, greys))
    if frames.count > 1 && plays != 1 {
      // How often to repeat, in the extension that Netscape 2.0 began.
      let repeats = UInt16(min(max(plays - 1, 0), 65_535))
      try check(EGifPutExtensionLeader(gif, 0xFF))
      try check(EGifPutExtensionBlock(gif, 11, Array("NETSCAPE2.0".utf8)))
      try check(EGifPutExtensionBlock(gif, 3, [1, UInt8(repeats & 255), UInt8(repeats >> 8)]))
      try check(EGifPutExtensionTrailer(gif))
    }
    for (frame, delay) in zip(frames, delays) {
      var control = GraphicsControlBlock()
      control.DisposalMode = 1
      // Hundredths of a second; viewers take less than two for ten.
      control.DelayTime = Int32(min(max((delay + 5) / 10, 2), 65_535))
      control.TransparentColor = -1
      var block = [UInt8](repeating: 0, count: 4)
      try check(EGifGCBToExtension(&control, &block) == 4 ? GIF_OK : GIF_ERROR)
      try check(EGifPutExtension(gif, 0xF9, 4, block))

      var indices = frame.bytes
      var local: UnsafeMutablePointer<ColorMapObject>?
      defer { GifFreeMapObject(local) }
      if !isGrey {
        let palette = Palette(frame)
        indices = palette.indices
        local = try Self.map(palette.colours)
      }
      try check(EGifPutImageDesc(gif, 0, 0, Int32(width), Int32(height), false, local))
      for y in 0..<height {
        var line = Array(indices[y * width..<(y + 1) * width])
        try check(EGifPutLine(gif, &line, Int32(width)))
      }
    }
    isOpen = false
    guard EGifCloseFile(gif, &status) == GIF_OK else { throw failure("GIF", Self.reason(status)) }
    return output.bytes
  }

  private static func reason(_ code: Int32) -> String {
    GifErrorString(code).map { String(cString: $0) } ?? "error \(code)"
  }

  /// A colour map; its size is rounded up to a power of two, as the format wants.
  private static func map(_ colours: [[UInt8]]) throws -> UnsafeMutablePointer<ColorMapObject> {
    var size = 2
    while size < colours.count { size *= 2 }
    var entries = colours.map { GifColorType(Red: $0[0], Green: $0[1], Blue: $0[2]) }
    entries += .init(repeating: GifColorType(Red: 0, Green: 0, Blue: 0), count: size - entries.count)
    guard let map = GifMakeMapObject(Int32(size), entries) else {
      throw DataError(.unsupported, file: "animation", "out of memory")
    }
    return map
  }
}
