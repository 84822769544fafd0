import Files
import Platform
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite(.mustEnd) struct AtomicFileTests {
  @Test func writesWholeAndReplaces() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "a.bin")
      try AtomicFile.write([1, 2, 3], to: url)
      let file = try AtomicFile(url)
      try file.write(contentsOf: [4] as [UInt8])
      try file.write(contentsOf: [Float(1)])
      #expect(try read(url) == [1, 2, 3], "the old file stands until the new one is committed")
      try file.commit()
      #expect(try read(url) == [4, 0, 0, 0x80, 0x3f])
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

  @Test func errorsNameTheFileAndTheCause() throws {
    try withTemporaryFolder { folder in
      let missing = folder.appending(path: "no/where.txt")
      let error = #expect(throws: FileError.self) { try AtomicFile.write("x", to: missing) }
      #expect(error?.description.contains("no/where.txt: no such file") == true)
      #expect(throws: FileError.self) { try AtomicFile.write("x", to: folder) }
      let left = try names(in: folder)
      #expect(left == [])
    }
  }

  @Test func whatCannotBeWrittenIsKnownBefore() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.check(folder.appending(path: "a"))
      try AtomicFile.check(URL(filePath: "/dev/null"))
      try AtomicFile.check(URL(filePath: "/dev/stdout"))
      #expect(throws: FileError.self) { try AtomicFile.check(folder.appending(path: "no/where.txt")) }
      #expect(throws: FileError.self) { try AtomicFile.check(folder) }
      #expect(try names(in: folder) == [])
    }
  }

  @Test func aFullDiskAndALimitAreSaid() {
    let full = FileError(verb: "write", path: "/data/x.png", code: ENOSPC)
    #expect(full.description.hasPrefix("cannot write /data/x.png: no space left on device (free some space"))
    let limit = FileError(verb: "write", path: "/data/x.png", code: EFBIG)
    #expect(limit.description.hasPrefix("cannot write /data/x.png: file too large (raise the limit on file sizes"))
  }

  // MARK: What was there

  @Test(arguments: [0o600, 0o644, 0o755, 0o640] as [mode_t])
  func theModeOfAReplacedFileStays(mode: mode_t) throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "a")
      try AtomicFile.write("old", to: url)
      chmod(url.path, mode)
      try AtomicFile.write("new", to: url)
      #expect(try status(url).st_mode & 0o777 == mode)
      #expect(try read(url) == Array("new".utf8))
    }
  }

  @Test(.enabled(if: geteuid() == 0, "only the administrator may give files away"))
  func theOwnerOfAReplacedFileStays() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "a")
      try AtomicFile.write("old", to: url)
      chown(url.path, 12_345, 54_321)
      try AtomicFile.write("new", to: url)
      #expect(try (status(url).st_uid, status(url).st_gid) == (12_345, 54_321))
    }
  }

  @Test func linksStayAndWhatTheyLeadToIsReplaced() throws {
    try withTemporaryFolder { folder in
      try FileManager.default.createDirectory(
        at: folder.appending(path: "elsewhere"), withIntermediateDirectories: true)
      let target = folder.appending(path: "elsewhere/target"), link = folder.appending(path: "link")
      let second = folder.appending(path: "second")
      symlink("elsewhere/target", link.path)
      symlink(link.path, second.path)
      // At first it leads to nothing.
      for text in ["first", "other"] {
        try AtomicFile.write(text, to: second)
        #expect(try read(target) == Array(text.utf8))
        #expect(try (status(link), status(second)).0.st_mode & S_IFMT == S_IFLNK)
      }
      #expect(try names(in: folder) == ["elsewhere", "link", "second"])
      #expect(try names(in: folder.appending(path: "elsewhere")) == ["target"])
    }
  }

  @Test func aLinkToItselfOrAFolderIsAnError() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "circle"), other = folder.appending(path: "folder")
      symlink("circle", url.path)
      symlink(".", other.path)
      let circle = #expect(throws: FileError.self) { try AtomicFile.write("x", to: url) }
      #expect(circle?.reason == .system(ELOOP))
      let error = #expect(throws: FileError.self) { try AtomicFile.write("x", to: other) }
      #expect(error?.reason == .system(EISDIR))
    }
  }

  // MARK: Devices

  @Test func devicesAreWrittenAndNotReplaced() throws {
    let null = URL(filePath: "/dev/null")
    try AtomicFile.write("x", to: null)
    #expect(FileKind(at: "/dev/null") == .characterDevice)
    try AppendingFile(null).append("x")
    let error = #expect(throws: FileError.self) { try AtomicFile.write("x", to: URL(filePath: "/dev/full")) }
    #expect(error?.reason == .system(ENOSPC))
    #expect(FileKind(at: "/dev/full") == .characterDevice)
  }

  @Test func aFIFOIsWrittenAndNotReplaced() throws {
    try withTemporaryFolder { folder in
      let url = SpecialFiles.fifo(folder)
      let alone = #expect(throws: FileError.self) { try AtomicFile.write("x", to: url) }
      #expect(alone?.reason == .noReader, "nobody is waited for")
      #expect(throws: FileError.self) { try AppendingFile(url) }

      let reader = open(url.path, O_RDONLY | O_NONBLOCK)
      try AtomicFile.write("through", to: url)
      var bytes = [UInt8](repeating: 0, count: 20)
      #expect(systemRead(reader, &bytes, 20) == 7 && bytes.starts(with: Array("through".utf8)))
      #expect(FileKind(at: url.path) == .fifo)

      // The reader ends: an error, and no signal that ends the process.
      let file = try AtomicFile(url)
      close(reader)
      let error = #expect(throws: FileError.self) { try file.write(contentsOf: "x") }
      #expect(error?.reason == .system(EPIPE) && error?.description.contains("has ended") == true)
      #expect(try names(in: folder) == ["fifo"])
    }
  }

  @Test func aSocketIsNotReplaced() throws {
    try withTemporaryFolder { folder in
      let url = SpecialFiles.socket(folder)
      let error = #expect(throws: FileError.self) { try AtomicFile.write("x", to: url) }
      #expect(error?.reason == .notAFile(.socket))
      let other = #expect(throws: FileError.self) { try AppendingFile(url) }
      #expect(other?.reason == .notAFile(.socket))
      #expect(FileKind(at: url.path) == .socket)
    }
  }

  /// As `/dev/stdout` is, which may be a file that others write to as well.
  @Test func anOpenDescriptorIsWrittenWhereItStands() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "a")
      let descriptor = open(url.path, O_WRONLY | O_CREAT, 0o600)
      defer { close(descriptor) }
      write(descriptor, "before ", 7)
      try AtomicFile.write("between", to: URL(filePath: "/dev/fd/\(descriptor)"))
      write(descriptor, " after", 6)
      #expect(try read(url) == Array("before between after".utf8))
      #expect(throws: FileError.self) { try AtomicFile.write("x", to: URL(filePath: "/dev/fd/9999")) }
    }
  }

  /// The limit lies where no other test writes.
  @Test func theLimitOnFileSizesIsAnErrorAndNoSignal() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "large")
      try AtomicFile.write("x", to: url)
      try #require(truncate(url.path, 1 << 42) == 0)
      var before = rlimit()
      getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &before)
      var limit = rlimit(rlim_cur: 1 << 42, rlim_max: before.rlim_max)
      setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
      defer { setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &before) }
      let error = #expect(throws: FileError.self) { try AppendingFile(url).append("more") }
      #expect(error?.reason == .system(EFBIG))
    }
  }

  // MARK: Leftovers

  @Test func onlyLeftoversOfEndedProcessesAreRemoved() throws {
    try withTemporaryFolder { folder in
      let file = try AtomicFile(folder.appending(path: "mine"))
      let mine = try names(in: folder)
      #expect(mine[0].contains(".\(getpid())-"), "the name tells who writes")
      try AtomicFile.write("kept", to: folder.appending(path: ".b"))
      // No process has this number.
      try AtomicFile.write("left", to: folder.appending(path: ".c.2000000000-x.ddpm-partial"))
      // This process', which holds no lock on them: one is just being made, the other is of an earlier one of that number.
      let (young, old) = (".d.\(getpid())-x.ddpm-partial", ".e.\(getpid())-x.ddpm-partial")
      for name in [young, old] { try AtomicFile.write("left", to: folder.appending(path: name)) }
      var times = [timeval(tv_sec: time(nil) - 120, tv_usec: 0), timeval(tv_sec: time(nil) - 120, tv_usec: 0)]
      utimes(folder.appending(path: old).path, &times)
      utimes(folder.appending(path: mine[0]).path, &times)
      AtomicFile.removeLeftovers(in: folder)
      #expect(try names(in: folder) == [".b", young, mine[0]].sorted())
      try file.commit()
      #expect(try names(in: folder) == [".b", young, "mine"].sorted())
    }
  }

  /// One that has ended, though its parent has not asked yet.
  @Test(.enabled(if: access("/proc/self/stat", R_OK) == 0, "there is no /proc"))
  func whatAZombieLeftIsRemoved() throws {
    try withTemporaryFolder { folder in
      var process: pid_t = 0
      var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("true"), nil]
      defer { free(arguments[0]) }
      try #require(posix_spawnp(&process, "true", nil, nil, &arguments, nil) == 0)
      defer { waitpid(process, nil, 0) }
      // It ends by itself; asking how, and leaving it to be asked again.
      var ended = siginfo_t()
      try #require(waitid(P_PID, id_t(process), &ended, WEXITED | WNOWAIT) == 0)
      try Data().write(to: folder.appending(path: ".a.\(process)-x.ddpm-partial"))
      AtomicFile.removeLeftovers(in: folder)
      #expect(try names(in: folder) == [])
    }
  }

  @Test func namesMayBeAsLongAsTheSystemAllows() throws {
    try withTemporaryFolder { folder in
      for name in [String(repeating: "a", count: 255), String(repeating: "ä", count: 127)] {
        try AtomicFile.write("x", to: folder.appending(path: name))
        #expect(try names(in: folder).contains(name))
      }
    }
  }

  private func read(_ url: URL) throws -> [UInt8] { try FileBytes.read(url.path, limit: 1 << 20) }

  private func status(_ url: URL) throws -> stat {
    var status = stat()
    try #require(lstat(url.path, &status) == 0)
    return status
  }
}
