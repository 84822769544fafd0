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

  /// The frame of the first record of any event file: its length and the length's masked checksum, as TensorFlow writes them.
  @Test func framesAreTFRecords() {
    let message = Array("brain.Event:2".utf8)
    let frame = EventFile.frame(message)
    #expect(frame.count == message.count + 16)
    #expect(Array(frame[0..<8]) == [13, 0, 0, 0, 0, 0, 0, 0])
    #expect(Array(frame[12..<25]) == message)
  }
}
