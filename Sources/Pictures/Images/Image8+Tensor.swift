/// The border between bytes and the model's numbers, for pictures and training data.
public enum PixelScale {
  /// x0 = byte / 127.5 − 1, from 0…255 to [−1, 1].
  @inline(__always)
  public static func x0(_ byte: UInt8) -> Float { Float(byte) / 127.5 - 1 }

  /// byte = ⌊127.5 (x0 + 1)⌉, clipped to 0…255; not-a-number becomes 0.
  @inline(__always)
  public static func byte(_ x0: Float) -> UInt8 {
    // Written so that a comparison with not-a-number fails.
    let value = (127.5 * (x0 + 1)).rounded()
    return value >= 255 ? 255 : (value > 0 ? UInt8(value) : 0)
  }
}

extension Image8 {
  /// From the model's numbers: channels × height × width values, [−1, 1] clipped to bytes.
  public init(x0: some Collection<Float>, shape: ImageShape) {
    self.init(
      planes: x0.map { PixelScale.byte($0) }, width: shape.width, height: shape.height, channels: shape.channels)
  }

  /// As the model takes it: channels × height × width values in [−1, 1].
  public var x0: [Float] { planes.map { PixelScale.x0($0) } }

  /// Channels × height × width, the order of tensors.
  public var shape: ImageShape { ImageShape(channels: channels, height: height, width: width) }
}

extension ImageShape {
  /// A batch's images: N × channels × height × width values in [−1, 1].
  public func images(x0: [Float]) -> [Image8] {
    precondition(x0.count.isMultiple(of: count), "\(x0.count) values are no whole number of images of \(self)")
    return (0..<x0.count / count).map { n in Image8(x0: x0[n * count..<(n + 1) * count], shape: self) }
  }
}
