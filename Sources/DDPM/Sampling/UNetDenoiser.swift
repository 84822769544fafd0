import Diffusion
import Networks
import TensorGraph

/// A compiled network as the mathematics sees it: x_t and t in, a prediction out.
///
/// The program has one batch size; larger batches are cut up, and the last part is filled with zeros, so that nothing is compiled twice.
public final class UNetDenoiser: Denoiser {
  public let network: UNetConfig
  public let batchSize: Int
  public let executable: any Executable

  private let height: Int
  private let width: Int

  /// - Parameters:
  ///   - prefix: What the names of the states begin with: `ema.` for the average in a training executable.
  ///   - states: Those that hold the weights already; otherwise the executable's own are to be written.
  /// - Throws: `UNetConfigError`, `ProgramError` or `ExecutionError`.
  public init(
    _ network: UNetConfig, batchSize: Int, height: Int, width: Int, on backend: any Backend, prefix: String = "",
    states: (any States)? = nil
  ) throws {
    self.network = network
    self.batchSize = batchSize
    (self.height, self.width) = (height, width)

    let builder = GraphBuilder()
    let unet = try UNet(network, in: builder, prefix: prefix)
    let output = unet(
      sample: builder.input("sample", [batchSize, network.inChannels, height, width]),
      timestep: builder.input("timestep", [batchSize]),
      classLabels: network.classEmbedding == nil ? nil : builder.input("class_labels", [batchSize], .int32))
    builder.output("output", output)
    let program = try builder.finish()
    executable = try backend.compile(program, states: states ?? backend.makeStates(for: [program]))
  }

  /// - Throws: ``SamplingError`` where the network asks for a class and none is given, or the other way round.
  public func predict(_ xt: Images, at t: [Timestep], given condition: Condition) throws -> Images {
    let labels = try network.labels(condition)
    let parts = try stride(from: 0, to: xt.shape.count, by: batchSize).map { start in
      try predict(xt, at: t, labels, samples: start..<min(start + batchSize, xt.shape.count))
    }
    return parts.count == 1 ? parts[0] : Images(joining: parts)
  }

  private func predict(_ xt: Images, at t: [Timestep], _ labels: [Int32]?, samples: Range<Int>) throws -> Images {
    let dimension = xt.shape.dimension
    let missing = batchSize - samples.count
    var scalars =
      samples.count == xt.shape.count
      ? xt.scalars : Array(xt.scalars[samples.lowerBound * dimension..<samples.upperBound * dimension])
    scalars += [Float](repeating: 0, count: missing * dimension)
    // The network counts from 0.
    let timesteps = t[samples].map { Float($0.zeroBased) } + [Float](repeating: 0, count: missing)
    var inputs = [
      "sample": TensorData(scalars, shape: [batchSize, xt.shape.channels, height, width]),
      "timestep": TensorData(timesteps, shape: [batchSize]),
    ]
    if let labels {
      inputs["class_labels"] = TensorData(labels[samples] + [Int32](repeating: 0, count: missing), shape: [batchSize])
    }
    guard let output = try executable.run(inputs)["output"] else {
      preconditionFailure("the program declares an output named output")
    }
    var shape = xt.shape
    shape.count = samples.count
    shape.channels = network.outChannels
    return Images(shape: shape, scalars: Array(output.floats.prefix(shape.scalarCount)))
  }
}
