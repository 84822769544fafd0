import Diffusers
import Diffusion
import Pictures

/// What the network is told of the samples of a training batch: the one door through which a condition comes from data.
///
/// A function of (seed, step, sample) and the data: the same on resume, and for any partition of the batch.
struct ConditionDraw: Sendable {
  /// The model's number of each class of the data; nil where no class is told.
  let classes: [Int]?
  let card: ModelCard
  /// The probability with which a class is replaced by the null class.
  let dropout: Double
  let seed: UInt64
  let shape: ImageShape

  /// - Parameters:
  ///   - labels: of the samples, as the data counts.
  ///   - x0: the samples themselves, which pictures are made of.
  ///   - first: the number of the first sample since the start of the run.
  func callAsFunction(labels: [Int32], x0: [Float], first: Int, step: Int) -> Condition {
    let whole = Condition(
      classes: classes.map { classes in labels.map { classes[Int($0)] } }, pictures: pictures(of: x0))
    return whole.dropped(
      rate: card.nullClass == nil ? 0 : dropout, seed: seed, samples: first..<first + labels.count, step: step)
  }

  private func pictures(of x0: [Float]) -> Images? {
    guard case .superResolution(let scale) = card.pictures else { return nil }
    let images = Images(
      shape: .init(x0.count / shape.count, shape.channels, shape.height, shape.width), scalars: x0)
    return SuperResolution(scale: scale).shown(images)
  }
}

/// The task of making an image from one that is `scale` times smaller (Saharia et al. 2022, SR3).
public struct SuperResolution: Sendable {
  /// k: the sides of images are its multiples.
  public let scale: Int

  /// - Parameter scale: at least 1.
  public init(scale: Int) {
    precondition(scale > 0, "an image at 1/\(scale) of its size")
    self.scale = scale
  }

  /// The mean of each scale × scale pixels: [N, C, H, W] → [N, C, H/scale, W/scale].
  public func reduced(_ images: Images) -> Images {
    let shape = images.shape
    precondition(
      shape.height % scale == 0 && shape.width % scale == 0, "\(shape) has no sides that are multiples of \(scale)")
    let (h, w) = (shape.height / scale, shape.width / scale)
    var scalars = [Float](repeating: 0, count: shape.count * shape.channels * h * w)
    let share = 1 / Float(scale * scale)
    for plane in 0..<shape.count * shape.channels {
      for y in 0..<shape.height {
        for x in 0..<shape.width {
          scalars[(plane * h + y / scale) * w + x / scale] +=
            share * images.scalars[(plane * shape.height + y) * shape.width + x]
        }
      }
    }
    return Images(shape: .init(shape.count, shape.channels, h, w), scalars: scalars)
  }

  /// Each pixel repeated: the small images at the size of the large ones.
  public func enlarged(_ images: Images) -> Images {
    let shape = images.shape
    let (h, w) = (shape.height * scale, shape.width * scale)
    let scalars = (0..<shape.count * shape.channels * h * w).map { i in
      let (row, x) = i.quotientAndRemainder(dividingBy: w)
      let (plane, y) = row.quotientAndRemainder(dividingBy: h)
      return images.scalars[(plane * shape.height + y / scale) * shape.width + x / scale]
    }
    return Images(shape: .init(shape.count, shape.channels, h, w), scalars: scalars)
  }

  /// What the network is shown of full-size images: reduced, then enlarged.
  public func shown(_ images: Images) -> Images { enlarged(reduced(images)) }
}
