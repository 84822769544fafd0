/// Channels × height × width.
public struct ImageShape: Sendable, Equatable, Hashable, CustomStringConvertible {
  /// 1 for grey, 3 for RGB; d for points of ℝᵈ.
  public let channels: Int
  /// In pixels; 1 for points.
  public let height: Int
  /// In pixels; 1 for points.
  public let width: Int

  /// As given: nothing is checked.
  public init(channels: Int, height: Int, width: Int) {
    self.channels = channels
    self.height = height
    self.width = width
  }

  /// The number of samples (dimensions) of an image.
  public var count: Int { channels * height * width }

  public var description: String { "\(channels)×\(height)×\(width)" }
}
