import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Reference values and data sets that live beside the checkout, not in it: golden files made by PyTorch and diffusers, MNIST, CIFAR-10.
///
/// `DDPM_SHARED` names their folder; otherwise it is `../shared` seen from the package. Tests that need them are skipped without it.
public enum SharedFiles {
  public static let root: URL? = {
    let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let named = ProcessInfo.processInfo.environment["DDPM_SHARED"].map { URL(filePath: $0) }
    let url = named ?? package.deletingLastPathComponent().appending(path: "shared")
    return FileManager.default.fileExists(atPath: url.appending(path: "reference").path) ? url : nil
  }()

  /// The file at `path` under the shared folder.
  public static func url(_ path: String) throws -> URL {
    guard let root else { throw Absent() }
    return root.appending(path: path)
  }

  public struct Absent: Error, CustomStringConvertible {
    public var description: String { "the shared reference files are absent: set DDPM_SHARED to their folder" }
  }
}

extension Trait where Self == ConditionTrait {
  /// Skips a test where the reference files are absent.
  public static var needsShared: Self {
    .enabled(if: SharedFiles.root != nil, "needs the reference files: set DDPM_SHARED to their folder")
  }
}
