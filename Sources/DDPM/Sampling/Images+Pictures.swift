import Diffusion
import Pictures

extension Images {
  /// Every sample as an 8-bit picture: the nearest pixel of each value, for x_t and x̂_0 on the way. Other channels than grey or RGB, as
  /// of latents, are shown in grey, one plane below the other.
  public var pictures: [Image8] {
    pictures(of: scalars.map { UInt8(DiscretizedDecoder.pixel(nearest: Double($0))) })
  }

  /// Decoded pixels, in the order of this batch, as pictures.
  func pictures(of pixels: [UInt8]) -> [Image8] {
    let isColour = shape.channels == 3
    return (0..<shape.count).map { n in
      Image8(
        planes: pixels[range(ofSample: n)], width: shape.width,
        height: isColour ? shape.height : shape.height * shape.channels, channels: isColour ? 3 : 1)
    }
  }
}
