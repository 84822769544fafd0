/// The cyclic redundancy check with Castagnoli's polynomial (RFC 3720, appendix B.4): what TFRecord files carry, and what
/// checkpoints are verified by. Any damage within 32 bits in a row is found; other damage goes unnoticed once in 2³².
package struct CRC32C: Sendable {
  private var remainder: UInt32 = ~0

  package init() {}

  /// The checksum of all that was added.
  package var value: UInt32 { ~remainder }

  /// `tables[k][b]` is the remainder of byte b followed by k zero bytes, by the reflected polynomial 0x82F63B78; in one array.
  private static let tables: [UInt32] = {
    var tables = [UInt32](repeating: 0, count: 8 * 256)
    for byte in 0..<256 {
      tables[byte] = (0..<8).reduce(UInt32(byte)) { rest, _ in rest >> 1 ^ (rest & 1 == 1 ? 0x82F6_3B78 : 0) }
    }
    for i in 256..<8 * 256 { tables[i] = tables[i - 256] >> 8 ^ tables[Int(tables[i - 256] & 0xFF)] }
    return tables
  }()

  /// Eight bytes at a time (Kounavis and Berry 2005, "slicing by 8").
  package mutating func add(_ bytes: UnsafeRawBufferPointer) {
    var crc = remainder
    Self.tables.withUnsafeBufferPointer { tables in
      func entry(_ table: Int, _ byte: UInt32) -> UInt32 { tables[table << 8 | Int(byte & 0xFF)] }
      var position = 0
      while position + 8 <= bytes.count {
        let low = crc ^ UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self))
        let high = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: position + 4, as: UInt32.self))
        crc =
          entry(7, low) ^ entry(6, low >> 8) ^ entry(5, low >> 16) ^ entry(4, low >> 24)
          ^ entry(3, high) ^ entry(2, high >> 8) ^ entry(1, high >> 16) ^ entry(0, high >> 24)
        position += 8
      }
      while position < bytes.count {
        crc = crc >> 8 ^ entry(0, crc ^ UInt32(bytes[position]))
        position += 1
      }
    }
    remainder = crc
  }

  package static func checksum(_ bytes: [UInt8]) -> UInt32 {
    var crc = CRC32C()
    bytes.withUnsafeBytes { crc.add($0) }
    return crc.value
  }

  /// The size and checksum of a file's bytes, read piece by piece.
  ///
  /// - Parameter limit: The most bytes that a file of this kind may have.
  /// - Throws: ``FileError``.
  package static func checksum(ofFile path: String, limit: Int) throws(FileError) -> (size: Int, checksum: UInt32) {
    let file = try ReadableFile(path, limit: limit)
    var crc = CRC32C()
    var size = 0
    while true {
      let piece = try file.read(1 << 20)
      if piece.isEmpty { return (size, crc.value) }
      piece.withUnsafeBytes { crc.add($0) }
      size += piece.count
    }
  }

  /// TFRecord's mask, so that a checksum of data that holds checksums stays a good one: rotate right by 15, add a constant.
  package static func masked(_ bytes: [UInt8]) -> UInt32 {
    let crc = checksum(bytes)
    return (crc >> 15 | crc << 17) &+ 0xA282_EAD8
  }
}
