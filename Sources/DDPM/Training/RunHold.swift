import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A run's directory, held for this process: made where it was missing, and locked.
final class RunHold {
  let directory: RunDirectory
  private var created: CreatedDirectory?
  private let lock: RunLock

  /// - Throws: `RunLockError` naming who holds it, or `FileError`.
  init(_ url: URL, makesFolder: Bool) throws {
    directory = RunDirectory(url)
    var created = makesFolder ? try CreatedDirectory(url) : nil
    do { lock = try RunLock(url, command: "training") } catch {
      created?.remove()
      throw error
    }
    self.created = created
    try directory.undoHalfBirth()
  }

  /// Removes the directory again, if it was made for a run that does not start.
  func undo() {
    lock.release()
    guard created?.isNew == true else { return }
    created?.remove()
  }
}
