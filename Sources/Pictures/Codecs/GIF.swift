import CGIF
import Files

/// GIF, through giflib: the first frame, and nothing after it.
enum GIF {
  static func header(_ bytes: [UInt8], name: String) throws(DataError) -> StoredImage {
    try Reader(bytes, name: name).stored
  }

  static func decode(
    _ bytes: [UInt8], _ stored: StoredImage, name: String, _ onRow: (UnsafeBufferPointer<UInt8>) -> Void
  ) throws(DataError) {
    let reader = try Reader(bytes, name: name)
    let rows = try reader.indices()
    var row = [UInt8](repeating: 255, count: stored.width * stored.channels)
    for y in 0..<stored.height {
      for i in row.indices { row[i] = 255 }
      if (reader.top..<reader.top + reader.height).contains(y) {
        for x in 0..<reader.width {
          let index = Int(rows[(y - reader.top) * reader.width + x])
          guard index != reader.transparent else { continue }
          guard index < reader.palette.count else { throw reader.damaged("a colour that its palette does not have") }
          let colour = reader.palette[index]
          let place = (reader.left + x) * stored.channels
          row[place] = colour.Red
          if stored.channels == 3 { (row[place + 1], row[place + 2]) = (colour.Green, colour.Blue) }
        }
      }
      row.withUnsafeBufferPointer(onRow)
    }
  }
}

/// A file that is read up to its first frame.
private final class Reader {
  /// What giflib calls back for.
  private final class Source {
    let bytes: [UInt8]
    var position = 0
    init(_ bytes: [UInt8]) { self.bytes = bytes }
  }

  let name: String
  private let source: Source
  private let gif: UnsafeMutablePointer<GifFileType>
  private(set) var stored = StoredImage(format: .gif, width: 0, height: 0, channels: 1)
  private(set) var palette: [GifColorType] = []
  /// The index that leaves a pixel as it is, -1 for none.
  private(set) var transparent = -1
  /// Where the frame lies on the canvas.
  private(set) var left = 0, top = 0, width = 0, height = 0

  init(_ bytes: [UInt8], name: String) throws(DataError) {
    self.name = name
    source = Source(bytes)
    var status: Int32 = 0
    // giflib calls back with our pointer; `source` outlives the decoder.
    let opened = DGifOpen(
      Unmanaged.passUnretained(source).toOpaque(),
      { gif, out, count in
        guard let user = gif?.pointee.UserData, let out else { return 0 }
        let source = Unmanaged<Source>.fromOpaque(user).takeUnretainedValue()
        let moved = min(Int(count), source.bytes.count - source.position)
        for i in 0..<moved { out[i] = source.bytes[source.position + i] }
        source.position += moved
        return Int32(moved)
      }, &status)
    guard let opened else { throw Self.damaged(name, Self.reason(status)) }
    gif = opened
    try findFrame()
  }

  deinit { DGifCloseFile(gif, nil) }

  /// Reads up to the first frame's pixels.
  private func findFrame() throws(DataError) {
    while true {
      var kind = UNDEFINED_RECORD_TYPE
      try check(DGifGetRecordType(gif, &kind))
      switch kind {
      case IMAGE_DESC_RECORD_TYPE:
        try check(DGifGetImageDesc(gif))
        return try settle()
      case EXTENSION_RECORD_TYPE: try readExtension()
      case TERMINATE_RECORD_TYPE: throw damaged("it holds no image")
      default: throw damaged("an unknown record")
      }
    }
  }

  /// Passes over an extension, and remembers what a graphics control says of transparency.
  private func readExtension() throws(DataError) {
    var (code, block) = (0 as Int32, nil as UnsafeMutablePointer<GifByteType>?)
    try check(DGifGetExtension(gif, &code, &block))
    while let bytes = block {
      // The length, then: flags (bit 0: there is transparency), delay (2), the transparent index.
      if code == GRAPHICS_EXT_FUNC_CODE, bytes[0] >= 4 { transparent = bytes[1] & 1 == 1 ? Int(bytes[4]) : -1 }
      try check(DGifGetExtensionNext(gif, &block))
    }
  }

  private func settle() throws(DataError) {
    let frame = gif.pointee.Image
    (left, top, width, height) = (Int(frame.Left), Int(frame.Top), Int(frame.Width), Int(frame.Height))
    guard left >= 0, top >= 0, width > 0, height > 0 else { throw damaged("a frame of \(width)×\(height)") }
    // Some files name a canvas that is too small, or none.
    let canvas = (max(Int(gif.pointee.SWidth), left + width), max(Int(gif.pointee.SHeight), top + height))
    guard let map = frame.ColorMap ?? gif.pointee.SColorMap, let colours = map.pointee.Colors else {
      throw damaged("it has no palette")
    }
    palette = Array(UnsafeBufferPointer(start: colours, count: Int(map.pointee.ColorCount)))
    let isGrey = palette.allSatisfy { $0.Red == $0.Green && $0.Green == $0.Blue }
    stored = StoredImage(
      format: .gif, width: canvas.0, height: canvas.1, channels: isGrey ? 1 : 3, memory: width * height)
  }

  /// The frame's palette indices, rows from the top.
  func indices() throws(DataError) -> [UInt8] {
    var rows = [UInt8](repeating: 0, count: width * height)
    // An interlaced frame comes in four passes: every eighth row, those between, and so on.
    let order =
      gif.pointee.Image.Interlace
      ? [(0, 8), (4, 8), (2, 4), (1, 2)].flatMap { Array(stride(from: $0.0, to: height, by: $0.1)) }
      : Array(0..<height)
    var status = GIF_OK
    rows.withUnsafeMutableBufferPointer { rows in
      for y in order where status == GIF_OK {
        status = DGifGetLine(gif, rows.baseAddress.map { $0 + y * width }, Int32(width))
      }
    }
    try check(status)
    return rows
  }

  private func check(_ status: Int32) throws(DataError) {
    if status != GIF_OK { throw damaged(Self.reason(gif.pointee.Error)) }
  }

  func damaged(_ problem: String) -> DataError { Self.damaged(name, problem) }

  private static func damaged(_ name: String, _ problem: String) -> DataError {
    DataError(.corrupt, file: name, "damaged GIF: \(problem)", remedy: "replace or remove it")
  }

  private static func reason(_ code: Int32) -> String {
    GifErrorString(code).map { String(cString: $0) } ?? "error \(code)"
  }
}
