import Diffusion
import Networks
import Pictures
import Platform

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension Model {
  /// Reads a picture that is to be edited, with the model's channels and at 1/scale of its size.
  ///
  /// - Parameter fits: whether a picture of another size becomes one of the right size: its middle square, resized.
  /// - Throws: ``EditError`` naming the size that fits, and what the codecs throw.
  public func editPicture(_ url: URL, scale: Int = 1, channels: Int? = nil, fits: Bool = false) throws -> Image8 {
    guard architecture.channels == 1 || architecture.channels == 3 else {
      throw EvaluationError.channels(architecture.channels)
    }
    let picture = try Image8(contentsOf: url).converted(channels: channels ?? architecture.channels)
    let found = SampleSize(height: picture.height, width: picture.width)
    let full = architecture.sampleSize ?? SampleSize(height: found.height * scale, width: found.width * scale)
    try architecture.validate(height: full.height, width: full.width)
    guard full.height % scale == 0, full.width % scale == 0 else { throw EditError.scale(scale, of: full) }
    let wanted = SampleSize(height: full.height / scale, width: full.width / scale)
    if found == wanted { return picture }
    guard fits, wanted.height == wanted.width else {
      throw EditError.size(url.path, found: found, wanted: wanted)
    }
    return picture.centreSquare(side: wanted.width)
  }

  /// Reads a mask: for each scalar of a picture whether it is to be painted, which is where the mask is white.
  ///
  /// - Throws: ``EditError`` where it is of another size or hides nothing or all, and what the codecs throw.
  public func mask(_ url: URL, for picture: Image8, fits: Bool = false) throws -> [Bool] {
    var mask = try Image8(contentsOf: url).converted(channels: 1)
    let wanted = SampleSize(height: picture.height, width: picture.width)
    if fits, wanted.height == wanted.width, mask.width != picture.width || mask.height != picture.height {
      mask = mask.centreSquare(side: picture.width, filter: .box)
    }
    guard mask.width == picture.width, mask.height == picture.height else {
      throw EditError.maskSize(url.path, found: SampleSize(height: mask.height, width: mask.width), wanted: wanted)
    }
    let isHidden = mask.bytes.map { $0 >= 128 }
    let hidden = isHidden.count { $0 }
    guard (1..<isHidden.count).contains(hidden) else {
      throw EditError.mask(url.path, hidden: hidden, of: isHidden.count)
    }
    return (0..<picture.channels).flatMap { _ in isHidden }
  }
}

extension Images {
  /// A picture as a batch of one, in [−1, 1].
  public init(_ picture: Image8) {
    self.init(shape: .init(1, picture.channels, picture.height, picture.width), scalars: picture.x0)
  }
}

extension Image8 {
  /// The peak signal-to-noise ratio in decibels, 10 log₁₀(255² / mean squared difference); ∞ for equal pictures.
  public func psnr(to other: Image8) -> Double {
    precondition(shape == other.shape, "a picture of \(shape) beside one of \(other.shape)")
    let squares = zip(bytes, other.bytes).reduce(0) { $0 + (Int($1.0) - Int($1.1)) * (Int($1.0) - Int($1.1)) }
    return 10 * log10(255 * 255 * Double(bytes.count) / Double(squares))
  }
}
