import Diffusion
import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Noise and results of a sampling run as safetensors files: `initial_noise`, `step_noise`, `final`.
public enum NoiseFile {
  /// Looks at what a header says, and throws where that is not wanted, before anything of that size is read: the shape of each batch, and
  /// the bytes that reading all of them takes.
  public typealias Check = (_ shape: Images.Shape, _ byteCount: Int) throws -> Void

  /// `initial_noise` (N, C, H, W).
  ///
  /// - Throws: ``SafetensorsError``, `FileError` or ``SamplingError``, and what `check` throws.
  public static func initial(_ url: URL, check: Check = { _, _ in }) throws -> Images {
    let (file, shape) = try open(url, "initial_noise", axes: ["N", "C", "H", "W"])
    let batch = Images.Shape(shape[0], shape[1], shape[2], shape[3])
    try check(batch, batch.scalarCount * MemoryLayout<Float>.stride)
    return Images(shape: batch, scalars: try file.floats("initial_noise"))
  }

  /// `step_noise` (steps, N, C, H, W), one batch for each step that draws noise, in order.
  ///
  /// - Throws: ``SafetensorsError``, `FileError` or ``SamplingError``, and what `check` throws.
  public static func steps(_ url: URL, check: Check = { _, _ in }) throws -> [Images] {
    let (file, shape) = try open(url, "step_noise", axes: ["steps", "N", "C", "H", "W"])
    let each = Images.Shape(shape[1], shape[2], shape[3], shape[4])
    // All of them, and again one by one.
    try check(each, 2 * shape[0] * each.scalarCount * MemoryLayout<Float>.stride)
    let values = try file.floats("step_noise")
    return (0..<shape[0]).map { step in
      Images(
        shape: each, scalars: Array(values[step * each.scalarCount..<(step + 1) * each.scalarCount]))
    }
  }

  private static func open(_ url: URL, _ tensor: String, axes: [String]) throws -> (SafetensorsFile, shape: [Int]) {
    let file = try SafetensorsFile(contentsOf: url)
    let shape = try file.floating(tensor).shape
    guard shape.count == axes.count, shape.allSatisfy({ $0 > 0 }) else {
      let wanted = "(\(axes.joined(separator: ", ")))"
      throw SamplingError.noiseShape(file: url.path, tensor: tensor, found: shape, wanted: wanted)
    }
    return (file, shape)
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
