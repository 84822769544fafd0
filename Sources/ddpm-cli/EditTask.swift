import DDPM
import Diffusion
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension EditCommand {
  /// What is asked of a picture, with everything read and checked.
  struct Task {
    /// The picture as it is given, large enough for the grid.
    let before: Image8
    /// What the result is compared with, where the original is known.
    let original: Image8?
    let baseline: Image8?
    let measurement: LinearMeasurement?
    let process: ReverseProcess
    /// Of a result; its count does not matter.
    let shape: Images.Shape
    let count: Int
    /// η where the user does not say it.
    let eta: Double
    private let body: (Editing, _ unguided: any Denoiser, @escaping Editing.Observer) throws -> Images

    func run(_ editing: Editing, unguided: any Denoiser, observe: @escaping Editing.Observer) throws -> Images {
      try body(editing, unguided, observe)
    }

    init(_ command: EditCommand, _ model: Model) throws {
      process = try model.process()
      let (url, fits) = (URL(filePath: command.picture), command.fit)
      // Going to another class and back is no matter of chance.
      let count = command.toClass == nil ? command.count : 1
      self.count = count
      func condition(_ label: String?, pictures: Images? = nil) throws -> Condition {
        guard model.classCount != nil else {
          if label != nil { throw SamplingError.noClasses }
          return Condition(pictures: pictures?.repeated(count))
        }
        let number = try label.map { try model.classNumber($0) }
        guard number != nil || model.card.nullClass != nil else {
          throw SamplingError.classMissing(classes: model.classCount ?? 0)
        }
        return Condition(classes: Array(repeating: number, count: count), pictures: pictures?.repeated(count))
      }

      if let A = try Self.operator(command, model) {
        let (scale, channels) = (command.superResolution ?? 1, command.colourise ? 1 : nil)
        let given =
          try command.simulate
          ? model.editPicture(url, fits: fits)
          : model.editPicture(url, scale: scale, channels: channels, fits: fits)
        let y = command.simulate ? A(given).apply(Images(given)) : Images(given)
        // Rounded, as a file would hold it.
        let seen = y.pictures[0]
        let noise = command.noise.map { $0 / 127.5 } ?? (command.deblur == nil ? 0 : LinearMeasurement.roundingNoise)
        let shape = Images.Shape(1, model.architecture.channels, seen.height * scale, seen.width * scale)
        let measurement = LinearMeasurement(
          A(Image8(width: shape.width, height: shape.height, channels: shape.channels)), y: Images(seen), noise: noise)
        let asked = try condition(command.label)
        before = seen.magnified(by: scale)
        original = command.simulate ? given : nil
        baseline =
          scale > 1 ? seen.resized(width: shape.width, height: shape.height, filter: .bicubic) : nil
        (self.measurement, self.shape, eta) = (measurement, shape, 0.85)
        body = { editing, _, observe in
          try editing.restored(from: measurement, shape: shape, count: count, given: asked, observe: observe)
        }
        return
      }

      if case .superResolution(let scale) = model.card.pictures {
        let given =
          try command.simulate
          ? model.editPicture(url, fits: fits) : model.editPicture(url, scale: scale, fits: fits)
        let task = SuperResolution(scale: scale)
        let small = command.simulate ? task.reduced(Images(given)).pictures[0] : given
        let shown = task.enlarged(Images(small))
        let condition = try condition(command.label, pictures: shown)
        var shape = shown.shape
        shape.count = count
        before = small.magnified(by: scale)
        original = command.simulate ? given : nil
        baseline = small.resized(width: shape.width, height: shape.height, filter: .bicubic)
        measurement = LinearMeasurement(BlockMean(scale: scale), y: Images(small))
        (self.shape, eta) = (shape, 1)
        body = { [shape] editing, _, observe in try editing.drawn(shape: shape, given: condition, observe: observe) }
        return
      }

      let picture = try model.editPicture(url, fits: fits)
      let x0 = Images(picture)
      let own = try condition(command.label)
      original = command.simulate ? picture : nil
      (baseline, measurement, shape) = (nil, nil, x0.shape)
      if let mask = command.mask {
        let isHidden = try model.mask(URL(filePath: mask), for: picture, fits: fits)
        let jumps = command.jumps.map { Inpainting<DDIM>.Jumps(repeats: $0.values[0], length: $0.values[1]) }
        // What is hidden is shown as grey.
        before = Images(shape: x0.shape, scalars: zip(x0.scalars, isHidden).map { $1 ? 0 : $0 }).pictures[0]
        eta = 1
        body = { editing, _, observe in
          try editing.inpainted(x0, isHidden: isHidden, jumps: jumps, count: count, given: own, observe: observe)
        }
      } else if let toClass = command.toClass {
        let other = try condition(toClass)
        (before, eta) = (picture, 0)
        body = { editing, unguided, observe in
          try editing.carried(x0, from: own, to: other, inverting: unguided, observe: observe)
        }
      } else {
        let strength = command.strength ?? 1
        (before, eta) = (picture, 0)
        body = { editing, _, observe in
          try editing.redrawn(x0, strength: strength, count: count, given: own, observe: observe)
        }
      }
    }

    /// A for pictures of a size, where the task is a measurement.
    private static func `operator`(
      _ command: EditCommand, _ model: Model
    ) throws -> ((Image8) -> any LinearOperator)? {
      if let scale = command.superResolution { return { _ in BlockMean(scale: scale) } }
      if let σ = command.deblur { return { GaussianBlur(sigma: σ, height: $0.height, width: $0.width) } }
      guard command.colourise else { return nil }
      guard model.architecture.channels == 3 else { throw EditError.grey }
      return { _ in Greying() }
    }
  }
}
