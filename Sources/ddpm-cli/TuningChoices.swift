import CPUBackend

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The algorithms that a run was computed with: `tuning/` in its directory.
enum TuningChoices {
  static func folder(of run: URL) -> URL { run.appending(path: "tuning") }

  /// Starts with what earlier programs of this user have timed. Where that fails, the run times them itself.
  static func copy(to run: URL) {
    guard let cache = CPUBackend.defaultCacheFolder,
      let names = try? FileManager.default.contentsOfDirectory(atPath: cache.path)
    else { return }
    let folder = folder(of: run)
    try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    for name in names where name.hasPrefix("tuning-") && name.hasSuffix(".txt") {
      try? FileManager.default.copyItem(at: cache.appending(path: name), to: folder.appending(path: name))
    }
  }
}
