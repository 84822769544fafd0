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

  /// Tells one recording from another: the checksum of its scalars.
  public static func fingerprint(_ recorded: [Images]) -> String {
    var checksum = CRC32C()
    for images in recorded { images.scalars.withUnsafeBytes { checksum.add($0) } }
    return "crc32c:" + String(checksum.value, radix: 16)
  }

  /// Writes what was drawn and where it ended: the batches of one request, which recorded its noise.
  public static func write(_ batches: [Samples], to url: URL) throws {
    precondition(!batches.isEmpty, "no samples to write")
    var tensors = [tensor("final", Images(joining: batches.map(\.final)))]
    let starts = batches.compactMap(\.initialNoise)
    if !starts.isEmpty { tensors.append(tensor("initial_noise", Images(joining: starts))) }
    let steps = batches[0].stepNoise.indices.map { step in Images(joining: batches.map { $0.stepNoise[step] }) }
    if let shape = steps.first?.shape {
      tensors.append(
        NamedTensor(
          "step_noise", shape: [steps.count, shape.count, shape.channels, shape.height, shape.width],
          floats: steps.flatMap(\.scalars)))
    }
    try Safetensors.write(tensors, to: url)
  }

  private static func tensor(_ name: String, _ images: Images) -> NamedTensor {
    let shape = images.shape
    return NamedTensor(
      name, shape: [shape.count, shape.channels, shape.height, shape.width], floats: images.scalars)
  }
}
