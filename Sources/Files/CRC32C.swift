/// The cyclic redundancy check with Castagnoli's polynomial (RFC 3720, appendix B.4): what TFRecord files carry.
package enum CRC32C {
  /// Remainders of all bytes by the reflected polynomial 0x82F63B78.
  private static let table: [UInt32] = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { remainder, _ in remainder >> 1 ^ (remainder & 1 == 1 ? 0x82F6_3B78 : 0) }
  }

  package static func checksum(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(~0) { crc, byte in crc >> 8 ^ table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] }
  }

  /// TFRecord's mask, so that a checksum of data that holds checksums stays a good one: rotate right by 15, add a constant.
  package static func masked(_ bytes: [UInt8]) -> UInt32 {
    let crc = checksum(bytes)
    return (crc >> 15 | crc << 17) &+ 0xA282_EAD8
  }
}
