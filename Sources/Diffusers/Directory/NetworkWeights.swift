import Files
import Networks
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The numbers of a network: a value for each of its parameters, in diffusers' order.
public struct NetworkWeights: Sendable {
  public let parameters: [Parameter]
  public private(set) var values: [TensorData]

  /// First weights, drawn from `seed`.
  ///
  /// - Throws: `UNetConfigError` where the configuration makes no network.
  public init(initializing config: UNetConfig, by initialization: WeightInitialization, seed: UInt64) throws {
    parameters = try UNet.parameters(of: config)
    values = initialization.values(for: parameters, seed: seed)
  }

  /// The weights that a file holds for a network, under names of today or of old.
  ///
  /// - Throws: ``WeightsMismatch`` listing everything that does not fit, or `UNetConfigError`.
  public init(_ file: SafetensorsFile, for config: UNetConfig) throws {
    let parameters = try UNet.parameters(of: config)
    let names = try WeightNames.match(parameters.map { ($0.name, $0.shape.dimensions) }, in: file)
    self.parameters = parameters
    values = try parameters.map { TensorData(try file.floats(names[$0.name] ?? $0.name), shape: $0.shape) }
  }

  /// The weights in the states `prefix` + name, to be written into a file.
  ///
  /// - Throws: `UNetConfigError`; making the values throws `ExecutionError` where a state is absent.
  public static func sources(
    in states: any States, of config: UNetConfig, prefix: String = ""
  ) throws -> [TensorSource] {
    try UNet.parameters(of: config).map { parameter in
      TensorSource(parameter.name, shape: parameter.shape.dimensions) {
        try states.read(prefix + parameter.name).floats
      }
    }
  }

  /// Writes the weights into the states `prefix` + name.
  ///
  /// - Throws: `ExecutionError` where a state is absent or of another shape.
  public func load(into states: any States, prefix: String = "") throws {
    for (parameter, value) in zip(parameters, values) { try states.write(prefix + parameter.name, value) }
  }

  /// As a safetensors file has them.
  public var tensors: [NamedTensor] {
    zip(parameters, values).map { NamedTensor($0.name, shape: $0.shape.dimensions, floats: $1.floats) }
  }
}

extension PipelineDirectory {
  /// Reads a pipeline with its weights.
  ///
  /// - Throws: ``PipelineError``, ``SafetensorsError``, ``WeightsMismatch`` or `FileError`.
  public static func load(_ directory: URL) throws -> (pipeline: PipelineDirectory, weights: NetworkWeights) {
    let (pipeline, file) = try open(directory)
    return (pipeline, try NetworkWeights(file, for: pipeline.unet))
  }
}
