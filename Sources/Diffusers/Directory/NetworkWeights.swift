import Files
import Networks
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The numbers of a network: a value for each of its parameters, in the order of its files. Each is made when it is asked for, so that a
/// network that is loaded need not be held twice.
public struct NetworkWeights: Sendable {
  /// Names, shapes and roles, in the order of the network's files.
  public let parameters: [Parameter]
  private let value: @Sendable (Int) throws -> TensorData

  /// First weights, drawn from `seed`.
  ///
  /// - Throws: `NetworkConfigError` where the configuration makes no network.
  public init(initializing network: any Architecture, by initialization: WeightInitialization, seed: UInt64) throws {
    let parameters = try network.parameters()
    self.parameters = parameters
    value = { initialization.value(of: parameters[$0], index: $0, seed: seed) }
  }

  /// The weights that a file holds for a network, under names of today or of old.
  ///
  /// - Throws: ``WeightsMismatch`` listing everything that does not fit, `SafetensorsError` where the values are not those of the
  ///   checksum that our own files carry, or `NetworkConfigError`.
  public init(_ file: SafetensorsFile, for network: any Architecture) throws {
    let parameters = try network.parameters()
    let names = try WeightNames.match(parameters.map { ($0.name, $0.shape.dimensions) }, in: file)
    try file.verify()
    self.parameters = parameters
    value = { i in
      let parameter = parameters[i]
      return TensorData(try file.floats(names[parameter.name] ?? parameter.name), shape: parameter.shape)
    }
  }

  /// The value of parameter `index`.
  public subscript(index: Int) -> TensorData { get throws { try value(index) } }

  /// Writes the weights into the states `prefix` + name, for each of the prefixes.
  ///
  /// - Parameter isWanted: Whether a state is written at all, where some are elsewhere.
  /// - Throws: `ExecutionError` where a state is absent or of another shape.
  public func load(
    into states: any States, prefixes: [String] = [""], where isWanted: (String) -> Bool = { _ in true }
  ) throws {
    for (index, parameter) in parameters.enumerated() {
      let names = prefixes.map { $0 + parameter.name }.filter(isWanted)
      guard !names.isEmpty else { continue }
      let value = try self[index]
      for name in names { try states.write(name, value) }
    }
  }

  /// The weights in the states `prefix` + name, to be written into a file.
  ///
  /// - Throws: `NetworkConfigError`; making the values throws `ExecutionError` where a state is absent.
  public static func sources(
    in states: any States, of network: any Architecture, prefix: String = ""
  ) throws -> [TensorSource] {
    try network.parameters().map { parameter in
      TensorSource(parameter.name, shape: parameter.shape.dimensions) {
        try states.read(prefix + parameter.name).floats
      }
    }
  }

  /// As a safetensors file has them.
  public var sources: [TensorSource] {
    parameters.indices.map { i in
      TensorSource(parameters[i].name, shape: parameters[i].shape.dimensions) { try self[i].floats }
    }
  }
}

extension PipelineDirectory {
  /// Reads a pipeline with its weights.
  ///
  /// - Throws: ``PipelineError``, ``SafetensorsError``, ``WeightsMismatch`` or `FileError`.
  public static func load(_ directory: URL) throws -> (pipeline: PipelineDirectory, weights: NetworkWeights) {
    let (pipeline, file) = try open(directory)
    return (pipeline, try NetworkWeights(file, for: pipeline.network))
  }
}
