import DDPM
import Datasets
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct EventFileTests {
  /// RFC 3720, appendix B.4.
  @Test func checksumsAreCRC32C() {
    #expect(EventFile.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(EventFile.checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
    #expect(EventFile.checksum(Array(0..<32)) == 0x46DD_794E)
    #expect(EventFile.checksum(Array("123456789".utf8)) == 0xE306_9283)
  }

  /// A frame as TensorFlow writes it: the length, its masked checksum, the message, its masked checksum. The checksums are those
  /// of a division of polynomials, bit by bit.
  @Test func framesAreTFRecords() {
    let message = Array("brain.Event:2".utf8)
    let frame = EventFile.frame(message)
    #expect(frame.count == message.count + 16)
    #expect(Array(frame[0..<8]) == [13, 0, 0, 0, 0, 0, 0, 0])
    #expect(Array(frame[8..<12]) == [0x3C, 0x37, 0xB8, 0x34])
    #expect(Array(frame[12..<25]) == message)
    #expect(Array(frame[25...]) == [0xEE, 0x01, 0x06, 0x7C])
    // A version record with a wall time has 24 bytes: so begins every file that TensorFlow writes.
    let start = EventFile.frame([UInt8](repeating: 0, count: 24)).prefix(12)
    #expect(Array(start) == [24, 0, 0, 0, 0, 0, 0, 0, 0xA3, 0x7F, 0x4B, 0x22])
  }
}
