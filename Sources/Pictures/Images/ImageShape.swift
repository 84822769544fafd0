/// Channels × height × width.
public struct ImageShape: Sendable, Equatable, Hashable, CustomStringConvertible {
  public let channels: Int
  public let height: Int
  public let width: Int

  public init(channels: Int, height: Int, width: Int) {
    self.channels = channels
    self.height = height
    self.width = width
  }

  /// The number of samples (dimensions) of an image.
  public var count: Int { channels * height * width }

  public var description: String { "\(channels)×\(height)×\(width)" }
}
