import Platform

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A folder that is made where it is missing, and remembers what it made: only that may be removed again.
package struct CreatedDirectory {
  package let url: URL
  /// The levels that this process made, the outermost first, each with its identity.
  private var made: [(path: String, device: dev_t, inode: ino_t)] = []

  /// Makes the folder and those that lead to it.
  ///
  /// - Throws: ``FileError``, after removing what it had made.
  package init(_ url: URL) throws(FileError) {
    self.url = url
    do throws(FileError) { try make(url.path) } catch {
      remove()
      throw error
    }
  }

  /// Whether this process made the folder itself: then nothing in it is anybody else's, unless they have put it there since.
  package var isNew: Bool { made.last?.path == url.path }

  private mutating func make(_ path: String) throws(FileError) {
    if FileKind(at: path) == .folder { return }
    func failure(_ code: Int32) -> FileError { FileError(verb: "make the folder", path: path, code: code) }
    if mkdir(path, 0o777) == 0 {
      var status = stat()
      guard lstat(path, &status) == 0 else { throw failure(errno) }
      made.append((path, status.st_dev, status.st_ino))
      return
    }
    let parent = Destination.folder(of: path)
    switch errno {
    // Another process was faster; or there is a file, or a link to nothing.
    case EEXIST: if FileKind(at: path) != .folder { throw failure(FileKind(at: path) == nil ? ENOENT : EEXIST) }
    case ENOENT where FileKind(at: parent) == nil && parent != ".":
      try make(parent)
      try make(path)
    case let code: throw failure(code)
    }
  }

  /// Removes these files of the folder, then the folders that this process made and that hold nothing else.
  ///
  /// What others have put there stays, and so does a folder that another process made anew under the name.
  package mutating func remove(files names: [String] = []) {
    if isNew && isMine(made.count - 1) {
      for name in names where !name.contains("/") { unlink(url.path + "/" + name) }
    }
    while !made.isEmpty, isMine(made.count - 1), rmdir(made[made.count - 1].path) == 0 { made.removeLast() }
    made = []
  }

  private func isMine(_ level: Int) -> Bool {
    var status = stat()
    guard lstat(made[level].path, &status) == 0 else { return false }
    return (status.st_dev, status.st_ino) == (made[level].device, made[level].inode)
  }
}
