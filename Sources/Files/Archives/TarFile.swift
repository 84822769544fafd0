/// A tar archive that is written one file after another (POSIX ustar).
package final class TarFile {
  private let file: AtomicFile

  /// - Throws: As ``AtomicFile`` does.
  package init(_ file: AtomicFile) { self.file = file }

  /// - Parameter name: At most 100 bytes.
  /// - Throws: ``FileError``.
  package func add(_ name: String, _ bytes: [UInt8]) throws {
    precondition(name.utf8.count <= 100, "a name of \(name.utf8.count) bytes")
    try file.write(contentsOf: Self.header(name, size: bytes.count))
    try file.write(contentsOf: bytes)
    try file.write(contentsOf: [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512))
  }

  /// Ends the archive and puts it in its place.
  ///
  /// - Throws: ``FileError``.
  package func finish() throws {
    try file.write(contentsOf: [UInt8](repeating: 0, count: 1024))
    try file.commit()
  }

  private static func header(_ name: String, size: Int) -> [UInt8] {
    var header = [UInt8](repeating: 0, count: 512)
    func put(_ text: String, at start: Int) { header.replaceSubrange(start..<start + text.utf8.count, with: text.utf8) }
    func octal(_ value: Int, digits: Int) -> String {
      let text = String(value, radix: 8)
      return String(repeating: "0", count: digits - text.count) + text
    }
    put(name, at: 0)
    put("0000644", at: 100)
    put("0000000", at: 108)
    put("0000000", at: 116)
    put(octal(size, digits: 11), at: 124)
    put("00000000000", at: 136)
    put("0", at: 156)
    put("ustar", at: 257)
    put("00", at: 263)
    // The sum is taken with spaces in its own place.
    put("        ", at: 148)
    put(octal(header.reduce(0) { $0 + Int($1) }, digits: 6), at: 148)
    header[154] = 0
    return header
  }
}
