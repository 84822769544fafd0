import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Compiled programs on disk, so that the second start is fast.
///
/// A file begins with a checksum and its whole key, the program's text included, and is used only where both are right: a name that two
/// keys share, a half-written or a damaged file cost a compilation, never a wrong result. The folder may be deleted at any time.
package struct CompiledCache {
  let folder: URL

  package init(folder: URL) { self.folder = folder }

  private static let magic = Array("ddpm-xla".utf8)

  /// What was compiled from `key`, or nil.
  package func bytes(for key: [UInt8]) -> [UInt8]? {
    guard let file = try? FileBytes.read(url(for: key).path, limit: 1 << 32) else { return nil }
    let start = Self.magic.count + 4
    guard file.count >= start + key.count, file.starts(with: Self.magic) else { return nil }
    let body = Array(file[start...])
    guard Array(file[Self.magic.count..<start]) == checksum(body), body.starts(with: key) else { return nil }
    return Array(body[key.count...])
  }

  /// Keeps `bytes`. That it fails costs time at the next start, no more.
  package func keep(_ bytes: [UInt8], for key: [UInt8]) {
    try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try? AtomicFile.write(Self.magic + checksum(key + bytes) + key + bytes, to: url(for: key))
  }

  private func checksum(_ bytes: [UInt8]) -> [UInt8] {
    withUnsafeBytes(of: CRC32C.checksum(bytes).littleEndian) { Array($0) }
  }

  /// Named by the FNV-1a hash of the key.
  private func url(for key: [UInt8]) -> URL {
    let hash = key.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    return folder.appending(path: "\(String(hash, radix: 16)).xla")
  }
}
