import Files
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct AtomicFileTests {
  @Test func writesWholeAndReplaces() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "a.bin")
      try AtomicFile.write([1, 2, 3], to: url)
      let file = try AtomicFile(url)
      try file.write(contentsOf: [4] as [UInt8])
      try file.write(contentsOf: [Float(1)])
      #expect(try FileBytes.read(url.path) == [1, 2, 3], "the old file stands until the new one is committed")
      try file.commit()
      #expect(try FileBytes.read(url.path) == [4, 0, 0, 0x80, 0x3f])
      #expect(try FileBytes.read(url.path, limit: 2) == [4, 0])
      #expect(try names(in: folder) == ["a.bin"])
    }
  }

  @Test func anAbandonedFileVanishes() throws {
    try withTemporaryFolder { folder in
      do {
        let file = try AtomicFile(folder.appending(path: "a"))
        try file.write(contentsOf: "half")
        #expect(try names(in: folder).count == 1)
      }
      #expect(try names(in: folder) == [])
    }
  }

  @Test func leftoversOfAKilledProcessAreRemoved() throws {
    try withTemporaryFolder { folder in
      let file = try AtomicFile(folder.appending(path: "a"))
      try AtomicFile.write("kept", to: folder.appending(path: ".b"))
      AtomicFile.removeLeftovers(in: folder)
      #expect(try names(in: folder) == [".b"])
      withExtendedLifetime(file) {}
    }
  }

  @Test func errorsNameTheFileAndTheCause() throws {
    try withTemporaryFolder { folder in
      let missing = folder.appending(path: "no/where.txt")
      let error = #expect(throws: FileError.self) { try AtomicFile.write("x", to: missing) }
      #expect(error?.description.contains("no/where.txt: no such file") == true)
      #expect(throws: FileError.self) { try AtomicFile.write("x", to: folder) }
      #expect(throws: FileError.self) { try FileBytes.read(folder.path) }
    }
  }

  @Test func aFullDiskIsSaid() {
    let error = FileError(verb: "write", path: "/data/x.png", code: 28)
    #expect(error.description.hasPrefix("cannot write /data/x.png: no space left on device (free some space"))
  }
}
