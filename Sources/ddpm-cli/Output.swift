import ArgumentParser
import Files
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Where results go, by the words of `--out`: a file whose name says its format. `-` is standard output, as a PNG; `-.jpg`, `-.tar` and so on
/// are standard output in other formats.
enum Output {
  static let standardHelp = "- for standard output"

  static func isStandard(_ path: String) -> Bool { path == "-" || path.hasPrefix("-.") }

  static func url(_ path: String) -> URL { URL(filePath: isStandard(path) ? "/dev/stdout" : path) }

  /// What pictures are written as; nil where the name says none.
  static func pictureFormat(_ path: String) -> Image8.FileFormat? {
    path == "-" ? .png : Image8.FileFormat(fileName: path)
  }

  static func isArchive(_ path: String) -> Bool { FileTree.suffix(of: path) == ".tar" }

  /// Removes what killed processes left where these files will be.
  static func removeLeftovers(beside paths: [String?]) {
    for path in paths.compactMap(\.self) where !isStandard(path) {
      AtomicFile.removeLeftovers(in: URL(filePath: path).deletingLastPathComponent())
    }
  }

  /// Whether a file can be written there, before hours are spent on what goes into it. What killed processes left there goes.
  static func check(_ path: String) throws {
    if isStandard(path) { return }
    try AtomicFile.check(URL(filePath: path))
    removeLeftovers(beside: [path])
  }

  /// Whether a picture may be magnified so much.
  static func check(magnify: Int) throws {
    guard (1...32).contains(magnify) else { throw ValidationError("magnify is \(magnify); choose 1 to 32") }
  }

  /// As ``check(_:)``, of one picture.
  static func checkPicture(_ path: String) throws {
    if pictureFormat(path) == nil {
      throw DataError(.unsupported, file: path, "names no picture format", remedy: "end it in .png, .jpg or .webp")
    }
    try check(path)
  }

  /// Writes one picture, whole or not at all.
  static func write(_ picture: Image8, to path: String) throws {
    try AtomicFile.write(picture.encoded(as: pictureFormat(path) ?? .png), to: url(path))
  }

  /// `samples-progressive.png` beside `samples.png`.
  static func beside(_ path: String, _ suffix: String) -> String {
    let ending = FileTree.suffix(of: path)
    return path.dropLast(ending.utf8.count) + suffix + ending
  }
}
