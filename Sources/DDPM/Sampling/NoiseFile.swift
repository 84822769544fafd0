import Diffusion
import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Noise and results of a sampling run as safetensors files: `initial_noise`, `step_noise`, `final`.
public enum NoiseFile {
  /// `initial_noise` (N, C, H, W).
  ///
  /// - Throws: ``SafetensorsError``, `FileError` or ``SamplingError``.
  public static func initial(_ url: URL) throws -> Images {
    let file = try SafetensorsFile(contentsOf: url)
    let values = try file.floats("initial_noise")
    let shape = file["initial_noise"]?.shape ?? []
    guard shape.count == 4, shape.allSatisfy({ $0 > 0 }) else {
      throw SamplingError.noiseShape(file: url.path, tensor: "initial_noise", found: shape, wanted: "(N, C, H, W)")
    }
    return Images(shape: .init(shape[0], shape[1], shape[2], shape[3]), scalars: values)
  }

  /// `step_noise` (steps, N, C, H, W), one batch for each step that draws noise, in order.
  public static func steps(_ url: URL) throws -> [Images] {
    let file = try SafetensorsFile(contentsOf: url)
    let values = try file.floats("step_noise")
    let shape = file["step_noise"]?.shape ?? []
    guard shape.count == 5, shape.allSatisfy({ $0 > 0 }) else {
      throw SamplingError.noiseShape(file: url.path, tensor: "step_noise", found: shape, wanted: "(steps, N, C, H, W)")
    }
    let each = Images.Shape(shape[1], shape[2], shape[3], shape[4])
    return (0..<shape[0]).map { step in
      Images(
        shape: each, scalars: Array(values[step * each.scalarCount..<(step + 1) * each.scalarCount]))
    }
  }

  /// Writes what a run drew and where it ended.
  public static func write(_ result: SamplingRun.Result, to url: URL) throws {
    var tensors = [tensor("final", result.final)]
    if let initial = result.initialNoise { tensors.append(tensor("initial_noise", initial)) }
    if let first = result.stepNoise.first {
      let shape = first.shape
      tensors.append(
        NamedTensor(
          "step_noise",
          shape: [result.stepNoise.count, shape.count, shape.channels, shape.height, shape.width],
          floats: result.stepNoise.flatMap(\.scalars)))
    }
    try Safetensors.write(tensors, to: url)
  }

  private static func tensor(_ name: String, _ images: Images) -> NamedTensor {
    let shape = images.shape
    return NamedTensor(
      name, shape: [shape.count, shape.channels, shape.height, shape.width], floats: images.scalars)
  }
}
