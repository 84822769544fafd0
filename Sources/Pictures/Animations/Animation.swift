import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Pictures shown one after another.
public struct Animation: Sendable {
  /// All of one size.
  public let frames: [Image8]
  /// How long each frame is shown, in milliseconds.
  public let delays: [Int]
  /// How often it is played; 0 is for ever.
  public var plays: Int

  /// - Parameters:
  ///   - delay: how long a frame is shown, in milliseconds.
  ///   - lastDelay: how long the last one is: a result deserves a longer look.
  public init(_ frames: [Image8], delay: Int = 60, lastDelay: Int? = nil, plays: Int = 0) {
    precondition(!frames.isEmpty, "an animation needs at least one frame")
    precondition(
      frames.allSatisfy { $0.width == frames[0].width && $0.height == frames[0].height },
      "the frames of an animation are all of one size")
    precondition(
      delay >= 0 && lastDelay ?? 0 >= 0 && plays >= 0,
      "delays of \(delay) and \(lastDelay ?? delay) ms, \(plays) plays")
    // Colour in one frame makes all of them colour.
    let channels = frames.contains { $0.channels == 3 } ? 3 : 1
    self.frames = frames.map { $0.converted(channels: channels) }
    delays = frames.indices.map { $0 == frames.count - 1 ? lastDelay ?? delay : delay }
    self.plays = plays
  }

  /// The formats that are written.
  public enum Format: String, Sendable, CaseIterable {
    case gif
    /// Animated PNG: exact, and shown as its first frame where animation is not known.
    case apng
    case webp

    /// From a file's name: `.gif`, `.png` or `.apng`, `.webp`.
    public init?(fileName: String) {
      switch FileTree.suffix(of: fileName) {
      case ".gif": self = .gif
      case ".png", ".apng": self = .apng
      case ".webp": self = .webp
      default: return nil
      }
    }
  }

  /// The bytes of a file.
  ///
  /// - Throws: ``DataError`` where the format has a limit that the frames exceed.
  public func encoded(as format: Format) throws -> [UInt8] {
    switch format {
    case .gif: try gif()
    case .apng: try apng()
    case .webp: try webp()
    }
  }

  /// Writes the format that the file's name asks for, whole or not at all.
  public func write(to url: URL) throws {
    guard let format = Format(fileName: url.lastPathComponent) else {
      throw DataError(
        .unsupported, file: url.path, "names no animation format", remedy: "end it in .gif, .png (APNG) or .webp")
    }
    try AtomicFile.write(encoded(as: format), to: url)
  }

  var width: Int { frames[0].width }
  var height: Int { frames[0].height }
  var isGrey: Bool { frames[0].channels == 1 }

  func failure(_ format: String, _ problem: String) -> DataError {
    DataError(.unsupported, file: "animation", "\(width)×\(height) cannot be written as \(format): \(problem)")
  }
}
