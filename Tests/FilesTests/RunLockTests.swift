import Files
import Platform
import Synchronization
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct RunLockTests {
  @Test func theSecondIsToldWhoHoldsTheFolder() throws {
    try withTemporaryFolder { folder in
      let lock = try RunLock(folder, command: "ddpm train\u{1b}[31m")
      let error = #expect(throws: RunLockError.self) { try RunLock(folder, command: "ddpm train --resume") }
      guard case .held(_, let holder?) = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(holder.process == Int(getpid()) && holder.command == "ddpm train\u{1b}[31m" && !holder.host.isEmpty)
      #expect(holder.started.contains(/^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC$/))
      #expect(error?.description.contains("in use by process \(getpid()) on ") == true)
      #expect(error?.description.contains("\u{1b}") == false)
      lock.release()
      #expect(try names(in: folder) == [], "nothing stays of a lock that was given back")
      _ = try RunLock(folder, command: "ddpm train --resume")
      #expect(try names(in: folder) == [])
    }
  }

  /// As a killed process leaves it.
  @Test(arguments: [#"{"process":1,"host":"a","command":"b","started":"c"}"#, "", "{", "\u{0}\u{1b}"])
  func whatAKilledProcessLeftHoldsNobodyUp(text: String) throws {
    try withTemporaryFolder { folder in
      let file = folder.appending(path: RunLock.fileName)
      try AtomicFile.write(text, to: file)
      let lock = try RunLock(folder, command: "x")
      #expect(throws: RunLockError.self) { try RunLock(folder, command: "y") }
      lock.release()
    }
  }

  @Test func aHolderWhoSaysNothingIsStillOne() throws {
    try withTemporaryFolder { folder in
      let lock = try RunLock(folder, command: "x")
      truncate(folder.appending(path: RunLock.fileName).path, 0)
      let error = #expect(throws: RunLockError.self) { try RunLock(folder, command: "y") }
      #expect(error == .held(folder: folder.path, by: nil))
      withExtendedLifetime(lock) {}
    }
  }

  @Test func whatIsNoFolderOrNoFileIsAnError() throws {
    try withTemporaryFolder { folder in
      #expect(throws: FileError.self) { try RunLock(folder.appending(path: "nowhere"), command: "x") }
      mkfifo(folder.appending(path: RunLock.fileName).path, 0o600)
      #expect(throws: FileError.self) { try RunLock(folder, command: "x") }
      unlink(folder.appending(path: RunLock.fileName).path)
      symlink("/dev/null", folder.appending(path: RunLock.fileName).path)
      #expect(throws: FileError.self) { try RunLock(folder, command: "x") }
    }
  }

  /// /proc takes no new files, from the administrator neither.
  @Test(.enabled(if: FileKind(at: "/proc/self/fd") == .folder)) func aFolderThatTakesNoFilesIsAnError() {
    let error = #expect(throws: FileError.self) { try RunLock(URL(filePath: "/proc/self/fd"), command: "x") }
    #expect(error?.description.hasPrefix("cannot lock /proc/self/fd: ") == true)
  }

  /// Many at once: never do two hold it, and in the end somebody has.
  @Test func neverTwoAtATime() async throws {
    let folder = try TemporaryFolder()
    let url = folder.url
    final class Count: Sendable {
      let holders = Atomic(0), most = Atomic(0), turns = Atomic(0)
    }
    let count = Count()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask {
          for _ in 0..<200 {
            guard let lock = try? RunLock(url, command: "x") else { continue }
            let holders = count.holders.add(1, ordering: .sequentiallyConsistent).newValue
            count.most.max(holders, ordering: .sequentiallyConsistent)
            count.turns.add(1, ordering: .sequentiallyConsistent)
            count.holders.subtract(1, ordering: .sequentiallyConsistent)
            lock.release()
          }
        }
      }
    }
    withExtendedLifetime(folder) {}
    #expect(count.most.load(ordering: .sequentiallyConsistent) == 1)
    #expect(count.turns.load(ordering: .sequentiallyConsistent) > 0)
  }
}

@Suite struct CreatedDirectoryTests {
  @Test func whatWasMadeIsRemovedAgain() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "a/b/c")
      var directory = try CreatedDirectory(url)
      #expect(directory.isNew && FileKind(at: url.path) == .folder)
      try AtomicFile.write("x", to: url.appending(path: "log"))
      directory.remove(files: ["log", "never-made"])
      #expect(try names(in: folder) == [])
    }
  }

  @Test func whatWasThereStays() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "a")
      _ = try CreatedDirectory(url)
      try AtomicFile.write("x", to: url.appending(path: "log"))
      var second = try CreatedDirectory(url)
      #expect(!second.isNew)
      second.remove(files: ["log"])
      #expect(try names(in: url) == ["log"])
      var below = try CreatedDirectory(url.appending(path: "b"))
      below.remove()
      #expect(try names(in: url) == ["log"])
    }
  }

  @Test func whatOthersPutThereStays() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "a/b")
      var directory = try CreatedDirectory(url)
      try AtomicFile.write("mine", to: url.appending(path: "mine"))
      try AtomicFile.write("theirs", to: url.appending(path: "theirs"))
      directory.remove(files: ["mine"])
      #expect(try names(in: url) == ["theirs"])
    }
  }

  @Test func aFolderMadeAnewByOthersStays() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "a")
      var directory = try CreatedDirectory(url)
      rename(url.path, folder.appending(path: "moved").path)
      mkdir(url.path, 0o700)
      directory.remove()
      #expect(try names(in: folder) == ["a", "moved"])
    }
  }

  @Test func filesAndLinksToNothingAreErrorsAndStay() throws {
    try withTemporaryFolder { folder in
      let file = folder.appending(path: "file"), link = folder.appending(path: "link")
      try AtomicFile.write("x", to: file)
      symlink("nowhere", link.path)
      for url in [file, link, file.appending(path: "below"), link.appending(path: "below")] {
        #expect(throws: FileError.self) { try CreatedDirectory(url) }
      }
      #expect(try names(in: folder) == ["file", "link"])
    }
  }

  /// `new/deep` can be made, `new/deep/file/…` cannot.
  @Test func aFailureLeavesNothing() throws {
    try withTemporaryFolder { folder in
      let long = String(repeating: "x", count: 300)
      #expect(throws: FileError.self) { try CreatedDirectory(folder.appending(path: "new/deep/\(long)")) }
      let left = try names(in: folder)
      #expect(left == [])
    }
  }
}
