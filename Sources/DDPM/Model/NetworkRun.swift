import Diffusers
import Files
import Networks
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// One evaluation of a network on given tensors: what `ddpm run` does, and how our numbers are compared with PyTorch's.
public struct NetworkRun {
  /// Noisy images (N, C, H, W).
  public var sample: TensorData
  /// (N), as diffusers counts: from 0.
  public var timestep: TensorData
  /// What the network's class embedding wants; nil where it has none.
  public var classLabels: TensorData?
  /// (N, out channels, H, W); where given, the loss and its gradients are computed.
  public var target: TensorData?

  /// - Parameter target: where given, the loss and its gradients are computed.
  public init(sample: TensorData, timestep: TensorData, classLabels: TensorData? = nil, target: TensorData? = nil) {
    self.sample = sample
    self.timestep = timestep
    self.classLabels = classLabels
    self.target = target
  }

  /// Takes `sample`, `timestep`, `class_labels` and, if gradients are wanted, `target` from a file; others are ignored.
  ///
  /// - Throws: ``SafetensorsError`` or ``RunError`` naming the tensor that is absent or does not fit the network.
  public init(_ file: SafetensorsFile, for config: UNetConfig, gradients: Bool) throws {
    sample = TensorData(try file.floats("sample"), shape: try file.shape("sample"))
    let images = sample.shape
    guard images.rank == 4, images.isReasonable, images[1] == config.inChannels else {
      throw RunError.shape(
        file: file.path, tensor: "sample", found: images, wanted: "(N, \(config.inChannels), height, width)")
    }
    do { try config.validate(height: images[2], width: images[3]) } catch {
      throw RunError.tensor(file: file.path, tensor: "sample", problem: error.description)
    }
    let n = images[0]

    timestep = try file.numbers("timestep", wanted: [n])

    switch config.classEmbedding {
    case nil: classLabels = nil
    case .learned(let count):
      let labels = try file.integers("class_labels")
      guard labels.count == n, labels.allSatisfy({ (0..<count).contains($0) }) else {
        throw RunError.tensor(
          file: file.path, tensor: "class_labels", problem: "wants \(n) integers from 0 to \(count - 1)")
      }
      classLabels = TensorData(labels.map(Int32.init), shape: [n])
    case .timestep: classLabels = try file.numbers("class_labels", wanted: [n])
    case .identity: classLabels = try file.numbers("class_labels", wanted: [n, config.timeChannels])
    }

    if gradients {
      let shape: Shape = [n, config.outChannels, images[2], images[3]]
      target = try file.numbers("target", wanted: shape)
    }
  }

  /// Runs the network.
  ///
  /// - Returns: `output`; where there is a target also `loss`, the mean squared error, and `grad.NAME` for each trained parameter.
  /// - Throws: `ProgramError`, `NetworkConfigError` or `ExecutionError`.
  public func callAsFunction(
    _ config: UNetConfig, _ weights: NetworkWeights, on backend: any Backend
  ) throws -> [NamedTensor] {
    let builder = GraphBuilder()
    let unet = try UNet(config, in: builder)
    func input(_ name: String, _ data: TensorData) -> Tensor { builder.input(name, data.shape, data.type.dtype) }
    var inputs = ["sample": sample, "timestep": timestep]
    inputs["class_labels"] = classLabels
    inputs["target"] = target

    let output = unet(
      sample: input("sample", sample), timestep: input("timestep", timestep),
      classLabels: classLabels.map { input("class_labels", $0) })
    builder.output("output", output)
    if let target {
      let loss = output.meanSquaredError(input("target", target))
      builder.output("loss", loss)
      let trained = unet.trained
      let gradients = builder.gradients(of: loss, withRespectTo: trained.map(\.tensor))
      for ((parameter, _), gradient) in zip(trained, gradients) { builder.output("grad.\(parameter.name)", gradient) }
    }

    let executable = try backend.compile(builder.finish())
    try weights.load(into: executable.states)
    return try executable.run(inputs).map { name, data in
      // PyTorch's tools know no scalars in a file: the loss is a list of one.
      NamedTensor(name, shape: name == "loss" ? [1] : data.shape.dimensions, floats: data.floats)
    }
  }

  /// `ddpm run`: reads a model and inputs, runs once and writes the outputs.
  ///
  /// - Returns: The names and shapes of what was written, sorted by name.
  public static func run(
    model: URL, inputs: URL, outputs: URL, gradients: Bool, on backend: any Backend
  ) throws -> [(name: String, shape: [Int])] {
    let (pipeline, weights) = try PipelineDirectory.load(model)
    guard let unet = pipeline.network as? UNetConfig else {
      throw PipelineError.modelClass(
        file: model.path, found: type(of: pipeline.network).className, known: [UNetConfig.className])
    }
    let run = try NetworkRun(SafetensorsFile(contentsOf: inputs), for: unet, gradients: gradients)
    let results = try run(unet, weights, on: backend)
    try Safetensors.write(results, to: outputs)
    return results.map { ($0.name, $0.shape) }.sorted { $0.name < $1.name }
  }
}

/// Inputs that do not fit a network.
public enum RunError: Error, Equatable, Sendable, CustomStringConvertible {
  case shape(file: String, tensor: String, found: Shape, wanted: String)
  case tensor(file: String, tensor: String, problem: String)

  public var description: String {
    switch self {
    case .shape(let file, let tensor, let found, let wanted):
      "\(file): tensor '\(tensor)' has shape \(found); this network wants \(wanted)"
    case .tensor(let file, let tensor, let problem): "\(file): tensor '\(tensor)': \(problem)"
    }
  }
}

extension SafetensorsFile {
  fileprivate func shape(_ name: String) throws(SafetensorsError) -> Shape {
    guard let tensor = self[name] else {
      throw SafetensorsError(file: path, problem: .missing(tensor: name, present: tensors.map(\.name)))
    }
    return Shape(tensor.shape)
  }

  /// Numbers of any readable type, as floats, of the wanted shape. A single one is spread over a list, as diffusers does.
  fileprivate func numbers(_ name: String, wanted: Shape) throws -> TensorData {
    let shape = try shape(name)
    let isInteger = self[name].map { StoredType.integers.contains($0.type) } ?? false
    let values = isInteger ? try integers(name).map(Float.init) : try floats(name)
    if wanted.rank == 1, shape.rank <= 1, values.count == 1 {
      return TensorData([Float](repeating: values[0], count: wanted.count), shape: wanted)
    }
    guard shape == wanted else {
      throw RunError.shape(file: path, tensor: name, found: shape, wanted: wanted.description)
    }
    return TensorData(values, shape: shape)
  }
}
