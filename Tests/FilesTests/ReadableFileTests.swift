import Files
import Platform
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Special files of each kind, for both doors.
enum SpecialFiles {
  static func fifo(_ folder: URL) -> URL {
    let url = folder.appending(path: "fifo")
    mkfifo(url.path, 0o600)
    return url
  }

  /// A socket's name in the file system; the socket itself is closed again.
  static func socket(_ folder: URL) -> URL {
    let url = folder.appending(path: "socket")
    let descriptor = systemSocket()
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: url.path.utf8.prefix($0.count - 1)) }
    withUnsafePointer(to: &address) {
      _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    return url
  }
}

@Suite(.mustEnd) struct ReadableFileTests {
  @Test func readsWholeFilesOfAnySize() throws {
    try withTemporaryFolder { folder in
      for count in [0, 1, 65_535, 65_536, 200_000] {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let path = folder.appending(path: "\(count)").path
        try AtomicFile.write(bytes, to: URL(filePath: path))
        #expect(try FileBytes.read(path, limit: count) == bytes, "a file may be as large as its limit")
        #expect(try FileBytes.prefix(path, 10) == Array(bytes.prefix(10)))
        let file = try ReadableFile(path, limit: .max)
        #expect(try file.read(7) + file.readToEnd() == bytes)
      }
    }
  }

  /// Such files are regular and tell no size.
  @Test(.enabled(if: FileKind(at: "/proc/self/status") == .file)) func filesWithoutASizeAreReadToTheirEnd() throws {
    #expect(try FileBytes.read("/proc/self/status", limit: 1 << 20).starts(with: Array("Name:".utf8)))
    let error = #expect(throws: FileError.self) { try FileBytes.read("/proc/self/status", limit: 20) }
    #expect(error?.reason == .tooLarge(size: nil, limit: 20))
  }

  @Test func moreThanTheLimitIsRefused() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "a")
      try AtomicFile.write([1, 2, 3], to: url)
      let error = #expect(throws: FileError.self) { try FileBytes.read(url.path, limit: 2) }
      #expect(error?.reason == .tooLarge(size: 3, limit: 2))
      #expect(
        error?.description
          == "cannot read \(url.path): it has 3 bytes, and a file of this kind may have 2 (check that it is the right file)"
      )
    }
  }

  /// 200 GB without a byte on the disk: refused by its size, not read.
  @Test func aSparseFileIsRefusedBeforeItIsRead() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "sparse.safetensors")
      try AtomicFile.write([0], to: url)
      try #require(truncate(url.path, 200_000_000_000) == 0)
      let error = #expect(throws: FileError.self) { try FileBytes.read(url.path, limit: 1 << 30) }
      #expect(error?.reason == .tooLarge(size: 200_000_000_000, limit: 1 << 30))
      #expect(throws: FileError.self) { try SafetensorsFile(contentsOf: url) }
      #expect(try FileBytes.prefix(url.path, 4) == [0, 0, 0, 0])
    }
  }

  @Test func onlyRegularFilesPass() throws {
    try withTemporaryFolder { folder in
      let link = folder.appending(path: "link")
      symlink("/dev/zero", link.path)
      for (path, kind, words) in [
        (SpecialFiles.fifo(folder).path, FileKind.fifo, "it is a FIFO"),
        (SpecialFiles.socket(folder).path, .socket, "it is a socket"), (folder.path, .folder, "it is a folder"),
        ("/dev/zero", .characterDevice, "it is a character device"), (link.path, .characterDevice, "character device"),
      ] {
        let error = #expect(throws: FileError.self) { try FileBytes.read(path, limit: 1 << 20) }
        #expect(error?.reason == .notAFile(kind), "\(path)")
        #expect(error?.description.contains("\(words)") == true && error?.description.contains("\n") == false)
        let weights = #expect(throws: FileError.self) { try SafetensorsFile(contentsOf: URL(filePath: path)) }
        #expect(weights?.reason == .notAFile(kind), "\(path)")
        #expect(throws: FileError.self) { try FileBytes.prefix(path, 10) }
        #expect(throws: FileError.self) { try CRC32C.checksum(ofFile: path, limit: 1 << 20) }
      }
    }
  }

  @Test func whatIsNotThereIsNamed() {
    let error = #expect(throws: FileError.self) { try FileBytes.read("/no/where", limit: 1) }
    #expect(error?.reason == .system(ENOENT))
    #expect(
      error?.description
        == "cannot read /no/where: no such file or directory (check the spelling and that its folder exists)")
  }
}

/// C's `socket`, which the function above would hide.
private func systemSocket() -> Int32 {
  #if canImport(Darwin)
    socket(AF_UNIX, SOCK_STREAM, 0)
  #else
    socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
  #endif
}
