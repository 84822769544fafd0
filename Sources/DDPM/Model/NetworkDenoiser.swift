import Diffusers
import Diffusion
import Networks
import TensorGraph

/// A compiled network as the mathematics sees it: x_t, t and a condition in, a prediction out.
///
/// The program has one batch size; larger batches are cut up, and the last part is filled with zeros, so that nothing is compiled twice. So is a
/// batch that is no faster at once and takes more memory (`Backend.batchByteCount`).
public final class NetworkDenoiser: Denoiser, Sendable {
  /// What the network is made of.
  public let architecture: any Architecture
  /// What the condition means: which row of the class table stands for no class.
  public let card: ModelCard
  /// Samples that the program takes at once, over all devices.
  public let batchSize: Int
  /// Height and width of the samples.
  public let size: SampleSize
  /// The compiled network: inputs and output as `Architecture.evaluation(batchSize:size:prefix:)` names them.
  public let executable: any Executable
  /// Where predictions about images of that place stay; nil on the host.
  private let device: ImageDevice?

  /// - Parameters:
  ///   - batchSize: the most samples at once, of all devices that share a batch; a multiple of their number.
  ///   - device: where `backend` keeps images.
  ///   - prefix: what the names of the states begin with: `ema.` for the average in a training run.
  ///   - states: hold the weights, or will.
  /// - Throws: ``SamplingError/tooLarge(batch:_:)``, and what the architecture and the backend throw.
  public convenience init(
    _ architecture: any Architecture, card: ModelCard = ModelCard(), batchSize: Int, size: SampleSize,
    on backend: any Backend, device: ImageDevice? = nil, states: any States, prefix: String = ""
  ) throws {
    try architecture.validate(height: size.height, width: size.width)
    precondition(batchSize % backend.deviceCount == 0, "\(batchSize) samples for \(backend.deviceCount) devices")
    try self.init(
      architecture, card: card, part: architecture.part(of: batchSize, size: size, on: backend), size: size,
      on: backend, device: device, states: states, prefix: prefix)
  }

  /// As the public one, for a batch that is its own best part, and a size that was checked.
  init(
    _ architecture: any Architecture, card: ModelCard, part batchSize: Int, size: SampleSize, on backend: any Backend,
    device: ImageDevice?, states: any States, prefix: String
  ) throws {
    self.architecture = architecture
    self.card = card
    self.batchSize = batchSize
    self.size = size
    self.device = device
    let backend = backend.sharing(rows: batchSize)
    do {
      let program = try architecture.evaluation(
        batchSize: batchSize / backend.deviceCount, size: size, prefix: prefix)
      executable = try backend.compile(program, states: states)
    } catch ProgramError.shape(let error) {
      throw SamplingError.tooLarge(batch: batchSize, error.description)
    }
  }

  /// - Throws: ``SamplingError`` where the condition is not what the network asks for, and `ExecutionError`.
  public func predict(_ xt: Images, at t: [Timestep], given condition: Condition) throws -> Images {
    let count = xt.shape.count
    guard t.count == count else { throw SamplingError.timestepCount(t.count, samples: count) }
    let rows = try architecture.rows(of: condition, card)
    if let rows, rows.count != count { throw SamplingError.classCount(rows.count, samples: count) }
    try checkPictures(condition, count: xt.shape.count)
    let parts = try stride(from: 0, to: xt.shape.count, by: batchSize).map { start in
      try predict(xt, t, rows, condition.pictures, samples: start..<min(start + batchSize, xt.shape.count))
    }
    return parts.count == 1 ? parts[0] : Images(joining: parts)
  }

  private func predict(
    _ xt: Images, _ t: [Timestep], _ rows: [Int32]?, _ pictures: Images?, samples: Range<Int>
  ) throws -> Images {
    let missing = batchSize - samples.count
    // The network counts from 0.
    let timesteps = t[samples].map { Float($0.networkTime) } + [Float](repeating: 0, count: missing)
    let given = filled(xt, samples, missing)
    var inputs: [String: any DeviceTensor] = [
      "sample": try given.tensor(), "timestep": TensorData(timesteps, shape: [batchSize]),
    ]
    if let rows {
      inputs["class_labels"] = TensorData(rows[samples] + [Int32](repeating: 0, count: missing), shape: [batchSize])
    }
    if let pictures { inputs["pictures"] = try filled(pictures, samples, missing).tensor() }
    guard let output = try executable.run(onDevice: inputs)["output"] else {
      preconditionFailure("the program declares an output named output")
    }
    var shape = given.shape
    shape.channels = architecture.outChannels
    // Who asks with images of the host wants the answer there.
    let images =
      if let device = given.device, device === self.device {
        Images(output, shape: shape, on: device)
      } else {
        Images(shape: shape, scalars: try output.data().floats)
      }
    return images.samples(0..<samples.count)
  }

  /// A program's result as images that the network can be asked about where they are.
  func images(_ tensor: any DeviceTensor, shape: Images.Shape) throws -> Images {
    try device.map { Images(tensor, shape: shape, on: $0) } ?? Images(shape: shape, scalars: tensor.data().floats)
  }

  /// Some of the samples, and zeros up to the program's batch size.
  private func filled(_ images: Images, _ samples: Range<Int>, _ missing: Int) -> Images {
    let part = images.samples(samples)
    guard missing > 0 else { return part }
    var shape = images.shape
    shape.count = missing
    return Images(joining: [part, Images(repeating: 0, shape: shape)])
  }

  private func checkPictures(_ condition: Condition, count: Int) throws(SamplingError) {
    let channels = architecture.pictureChannels
    guard let pictures = condition.pictures else {
      guard channels == 0 else { throw .pictureMissing(channels: channels) }
      return
    }
    let wanted = Images.Shape(count, max(channels, 1), size.height, size.width)
    guard channels > 0 else { throw .noPictures }
    guard pictures.shape == wanted else { throw .pictureShape("\(pictures.shape)", wanted: "\(wanted)") }
  }
}

extension Architecture {
  /// How many samples of a batch are best computed at once: all, or the half of a half … whose intermediate results `backend` holds in its caches, but
  /// not so few that these are less than the weights, which every part reads anew.
  ///
  /// - Throws: ``SamplingError/tooLarge(batch:_:)`` where one alone is too large, and what the architecture throws.
  func part(of batchSize: Int, size: SampleSize, on backend: any Backend) throws -> Int {
    guard batchSize > backend.deviceCount, let ample = backend.batchByteCount else { return batchSize }
    let one: UNetMemory
    do { one = UNetMemory(try evaluation(batchSize: 1, size: size)) } catch ProgramError.shape(let error) {
      throw SamplingError.tooLarge(batch: batchSize, error.description)
    }
    var part = batchSize / backend.deviceCount
    while part > 1, part * one.activations > max(ample, one.states) { part = (part + 1) / 2 }
    return part * backend.deviceCount
  }

  /// The classes that a condition may name: the table's rows, but for the null class.
  package func classCount(_ card: ModelCard) -> Int? { classRows.map { card.nullClass == nil ? $0 : $0 - 1 } }

  /// The rows of the class table that a condition asks for; nil where the network has none.
  ///
  /// - Throws: ``SamplingError`` where the network asks for a class and none is given, or the other way round.
  func rows(of condition: Condition, _ card: ModelCard) throws(SamplingError) -> [Int32]? {
    guard let count = classCount(card) else {
      guard condition.classes == nil else { throw .noClasses }
      return nil
    }
    guard let classes = condition.classes else { throw .classMissing(classes: count) }
    var rows: [Int32] = []
    rows.reserveCapacity(classes.count)
    for label in classes {
      guard let row = label ?? card.nullClass else { throw .noNullClass }
      guard label == nil || (0..<count).contains(row) else { throw .label(row, classes: count) }
      rows.append(Int32(row))
    }
    return rows
  }
}
