import CZlib

/// gzip files, as MNIST comes in.
package enum Gzip {
  package static func isGzip(_ bytes: [UInt8]) -> Bool { bytes.starts(with: [0x1F, 0x8B]) }

  /// Inflates a whole gzip file (several members too), or its first `limit` bytes.
  ///
  /// - Parameter name: the file's name for error messages.
  /// - Throws: ``DataError`` when it is damaged, or cut short before `limit` bytes were won.
  package static func inflate(_ bytes: [UInt8], name: String, limit: Int) throws -> [UInt8] {
    var stream = z_stream()
    guard czlib_inflate_start(&stream) == Z_OK else {
      throw DataError(.corrupt, file: name, "zlib could not start (out of memory?)")
    }
    defer { inflateEnd(&stream) }
    var out: [UInt8] = []
    var consumed = 0
    var status = Z_OK
    while out.count < limit {
      let room = min(1 << 20, limit - out.count)
      let piece = [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
        bytes.withUnsafeBufferPointer { source in
          // zlib only reads from next_in, though its type does not say so.
          let given = min(source.count - consumed, 1 << 30)
          stream.next_in = source.baseAddress.map { UnsafeMutablePointer(mutating: $0 + consumed) }
          stream.avail_in = UInt32(given)
          stream.next_out = buffer.baseAddress
          stream.avail_out = UInt32(room)
          status = CZlib.inflate(&stream, Z_NO_FLUSH)
          consumed += given - Int(stream.avail_in)
        }
        count = room - Int(stream.avail_out)
      }
      out.append(contentsOf: piece)
      switch status {
      case Z_STREAM_END:
        // Another member may follow; anything else there is padding.
        guard Array(bytes[consumed...].prefix(2)) == [0x1F, 0x8B], inflateReset(&stream) == Z_OK else { return out }
      case Z_OK where !piece.isEmpty || consumed < bytes.count: continue
      case Z_OK, Z_BUF_ERROR:
        throw DataError(
          .corrupt, file: name, "the gzip file ends after \(bytes.count) bytes, before its data do",
          remedy: "fetch it again")
      default:
        let text = stream.msg.map { String(cString: $0) } ?? "zlib error \(status)"
        throw DataError(.corrupt, file: name, "damaged gzip file: \(text)", remedy: "fetch it again")
      }
    }
    return out
  }
}
