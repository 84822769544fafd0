import CCodecs
import Files
import Platform

/// PNG and JPEG: calls the C codecs, and turns their messages into errors.
enum CCodec {
  static func header(_ bytes: [UInt8], _ format: ImageFormat, name: String) throws(DataError) -> StoredImage {
    var size = ccodecs_size()
    try call(name, "damaged \(format.name)") { error in
      format == .png
        ? ccodecs_png_size(bytes, bytes.count, &size, error) : ccodecs_jpeg_size(bytes, bytes.count, &size, error)
    }
    return StoredImage(
      format: format, width: Int(size.width), height: Int(size.height), channels: Int(size.channels),
      memory: Int(clamping: size.memory))
  }

  static func decode(
    _ bytes: [UInt8], _ stored: StoredImage, denominator: Int, name: String,
    _ onRow: (UnsafeBufferPointer<UInt8>) -> Void
  ) throws(DataError) {
    struct Rows {
      let count: Int
      let onRow: (UnsafeBufferPointer<UInt8>) -> Void
    }
    let size = ccodecs_size(
      width: UInt32(stored.width), height: UInt32(stored.height), channels: UInt32(stored.channels), memory: 0)
    var failure: DataError?
    withoutActuallyEscaping(onRow) { onRow in
      var rows = Rows(count: stored.width * stored.channels, onRow: onRow)
      // C calls back once a row. Its errors jump, but never across this frame: nothing in it can fail.
      let take: ccodecs_row = { context, row in
        guard let rows = context?.assumingMemoryBound(to: Rows.self) else { return }
        rows.pointee.onRow(UnsafeBufferPointer(start: row, count: rows.pointee.count))
      }
      withUnsafeMutablePointer(to: &rows) { rows in
        do throws(DataError) {
          try call(name, "damaged \(stored.format.name)") { error in
            stored.format == .png
              ? ccodecs_png_decode(bytes, bytes.count, size, take, rows, error)
              : ccodecs_jpeg_decode(bytes, bytes.count, UInt32(denominator), size, take, rows, error)
          }
        } catch {
          failure = error
        }
      }
    }
    if let failure { throw failure }
  }

  static func encode(
    _ format: ImageFormat,
    _ body: (
      UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>, UnsafeMutablePointer<Int>, UnsafeMutablePointer<CChar>
    ) -> Int32
  ) throws(DataError) -> [UInt8] {
    var out: UnsafeMutablePointer<UInt8>?
    var count = 0
    try call("image", "cannot be written as \(format.name)") { body(&out, &count, $0) }
    defer { free(out) }
    return Array(UnsafeBufferPointer(start: out, count: count))
  }

  private static func call(
    _ name: String, _ problem: String, _ body: (UnsafeMutablePointer<CChar>) -> Int32
  ) throws(DataError) {
    var message = [CChar](repeating: 0, count: Int(CCODECS_ERROR_LENGTH))
    let status = message.withUnsafeMutableBufferPointer { buffer in buffer.baseAddress.map(body) ?? 1 }
    guard status == 0 else {
      throw DataError(
        .corrupt, file: name, "\(problem): \(String(untilZero: message))", remedy: "replace or remove it")
    }
  }
}
