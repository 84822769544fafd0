import Files
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct CRC32CTests {
  /// RFC 3720, appendix B.4, and the check value of the catalogue of parametrised CRCs.
  @Test(
    arguments: [
      (Array("123456789".utf8), 0xE306_9283), ([], 0), ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
      ([UInt8](repeating: 255, count: 32), 0x62A8_AB43), ((0..<32).map { UInt8($0) }, 0x46DD_794E),
      ((0..<32).reversed().map { UInt8($0) }, 0x113F_DB5C),
    ] as [([UInt8], UInt32)])
  func knownValues(bytes: [UInt8], crc: UInt32) { #expect(CRC32C.checksum(bytes) == crc) }

  /// Bit by bit, as the definition has it.
  private func slow(_ bytes: some Sequence<UInt8>) -> UInt32 {
    ~bytes.reduce(~0 as UInt32) { crc, byte in
      (0..<8).reduce(crc ^ UInt32(byte)) { rest, _ in rest >> 1 ^ (rest & 1 == 1 ? 0x82F6_3B78 : 0) }
    }
  }

  @Test func everyLengthAlignmentAndDivisionGivesTheSlowOnesValue() {
    let bytes = (0..<100).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ 13) }
    for start in 0..<9 {
      for end in start...60 {
        let expected = slow(bytes[start..<end])
        #expect(CRC32C.checksum(Array(bytes[start..<end])) == expected)
        var crc = CRC32C()
        bytes.withUnsafeBytes {
          let cut = (start + end) / 2
          crc.add(UnsafeRawBufferPointer(rebasing: $0[start..<cut]))
          crc.add(UnsafeRawBufferPointer(rebasing: $0[cut..<end]))
        }
        #expect(crc.value == expected)
      }
    }
  }

  @Test func aFileIsReadPieceByPiece() throws {
    try withTemporaryFolder { folder in
      let bytes = (0..<3 << 20).map { UInt8(truncatingIfNeeded: $0 >> 7) }
      let url = folder.appending(path: "a")
      try AtomicFile.write(bytes, to: url)
      let found = try CRC32C.checksum(ofFile: url.path, limit: bytes.count)
      #expect(found == (bytes.count, CRC32C.checksum(bytes)))
      #expect(throws: FileError.self) { try CRC32C.checksum(ofFile: url.path, limit: bytes.count - 1) }
    }
  }
}

@Suite struct ManifestTests {
  private static let files = ["state.json": "{}", "unet/moments.bin": "0123456789", "weights.bin": ""]

  /// A checkpoint of three files, with its manifest.
  private func withCheckpoint(_ body: (URL) throws -> Void) throws {
    try withTemporaryFolder { folder in
      try FileManager.default.createDirectory(at: folder.appending(path: "unet"), withIntermediateDirectories: true)
      for (name, text) in Self.files { try AtomicFile.write(text, to: folder.appending(path: name)) }
      try Manifest(of: folder, files: Array(Self.files.keys), identity: ["data": "abc", "seed": "1"]).write()
      try body(folder)
    }
  }

  @Test func whatIsWrittenIsReadAndVerified() throws {
    try withCheckpoint { folder in
      let manifest = try Manifest(readingFrom: folder)
      #expect(
        manifest.files["unet/moments.bin"] == .init(size: 10, checksum: CRC32C.checksum(Array("0123456789".utf8))))
      #expect(manifest.identity == ["data": "abc", "seed": "1"])
      try manifest.verify()
      try manifest.verify(identity: ["data": "abc"])
    }
  }

  /// Every bit of every file.
  @Test func everyFlippedBitIsFoundAndItsFileNamed() throws {
    try withCheckpoint { folder in
      for (name, text) in Self.files {
        for bit in 0..<8 * text.utf8.count {
          var bytes = Array(text.utf8)
          bytes[bit / 8] ^= 1 << UInt8(bit % 8)
          let url = folder.appending(path: name)
          try AtomicFile.write(bytes, to: url)
          let error = #expect(throws: ManifestError.self) { try Manifest(readingFrom: folder).verify() }
          #expect(error?.file == url.path)
          guard case .checksum = error?.problem else {
            Issue.record("\(String(describing: error))")
            return
          }
          try AtomicFile.write(text, to: url)
        }
      }
      try Manifest(readingFrom: folder).verify()
    }
  }

  @Test func theFirstFileThatDiffersIsNamed() throws {
    try withCheckpoint { folder in
      let moments = folder.appending(path: "unet/moments.bin"), weights = folder.appending(path: "weights.bin")
      try AtomicFile.write("longer", to: weights)
      try AtomicFile.write("012345678", to: moments)
      let manifest = try Manifest(readingFrom: folder)
      #expect(throws: ManifestError(file: moments.path, problem: .size(expected: 10, found: 9))) {
        try manifest.verify()
      }
      try FileManager.default.removeItem(at: moments)
      let error = #expect(throws: ManifestError.self) { try manifest.verify() }
      #expect(error?.description.hasPrefix("cannot read \(moments.path): no such file") == true)
      try FileManager.default.createDirectory(at: moments, withIntermediateDirectories: true)
      #expect(throws: ManifestError.self) { try manifest.verify() }
    }
  }

  @Test func whatBelongsToSomethingElseIsSaid() throws {
    try withCheckpoint { folder in
      let manifest = try Manifest(readingFrom: folder)
      let error = #expect(throws: ManifestError.self) { try manifest.verify(identity: ["data": "\u{1b}x"]) }
      #expect(error?.description == "\(folder.path): it belongs to another data: 'abc', where '\\u{1b}x' is wanted")
      #expect(throws: ManifestError(file: folder.path, problem: .identity(key: "new", expected: "x", found: nil))) {
        try manifest.verify(identity: ["new": "x"])
      }
    }
  }

  /// Every bit of the manifest: it either cannot be read, or says the same.
  @Test func damageToTheManifestItselfIsFound() throws {
    try withCheckpoint { folder in
      let url = folder.appending(path: Manifest.fileName)
      let original = try FileBytes.read(url.path, limit: 1 << 20), whole = try Manifest(readingFrom: folder)
      for bit in 0..<8 * original.count {
        var bytes = original
        bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        try Data(bytes).write(to: url)
        let read = Result { try Manifest(readingFrom: folder) }
        if case .failure(let error) = read { #expect(error is ManifestError) }
        #expect((try? read.get()) ?? whole == whole, "bit \(bit)")
      }
      try Data().write(to: url)
      #expect(throws: ManifestError.self) { try Manifest(readingFrom: folder) }
      try FileManager.default.removeItem(at: url)
      #expect(throws: FileError.self) { try Manifest(readingFrom: folder) }
    }
  }

  @Test(arguments: ["../state.json", "/etc/passwd", "a//b", ""]) func aManifestSpeaksOfItsOwnFolderOnly(name: String)
    throws
  {
    try withTemporaryFolder { folder in
      let content: JSONValue = ["files": .object([name: ["size": 1, "crc32c": "00000000"]]), "identity": [:]]
      let text = String(CRC32C.checksum(Array(content.compactText.utf8)), radix: 16)
      let padded = String(repeating: "0", count: 8 - text.count) + text
      let root: JSONValue = ["content": content, "crc32c": .string(padded)]
      try AtomicFile.write(root.canonicalText, to: folder.appending(path: Manifest.fileName))
      let error = #expect(throws: ManifestError.self) { try Manifest(readingFrom: folder) }
      #expect(error?.description.contains("nothing that can be checked") == true)
    }
  }
}
