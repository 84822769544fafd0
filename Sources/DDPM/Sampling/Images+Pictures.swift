import Diffusion
import Pictures

extension Images {
  /// Every sample as an 8-bit picture: the nearest pixel of each value, for x_t and x̂_0 on the way.
  public var pictures: [Image8] {
    pictures(of: scalars.map { UInt8(DiscretizedDecoder.pixel(nearest: Double($0))) })
  }

  /// Decoded pixels, in the order of this batch, as pictures.
  func pictures(of pixels: [UInt8]) -> [Image8] {
    (0..<shape.count).map { n in
      Image8(planes: pixels[range(ofSample: n)], width: shape.width, height: shape.height, channels: shape.channels)
    }
  }
}
