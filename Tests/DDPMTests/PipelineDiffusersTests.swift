import CPUBackend
import DDPM
import Diffusers
import Files
import Networks
import TensorGraph
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Every variant of the architecture with shaken weights, on one small batch.
private struct VariantRun {
  let config: UNetConfig
  let weights: [NamedTensor]
  let run: NetworkRun

  init(_ variant: UNetVariant) throws {
    var config = variant.config
    config.sampleSize = .init(height: 8, width: 8)
    self.config = config
    // Norms and biases that start at 1 and 0 would hide mistakes: shake everything.
    let first = try NetworkWeights(initializing: config, by: .diffusers, seed: 1)
    weights = zip(try first.tensors, 0...).map { tensor, i -> NamedTensor in
      guard case .floats(let values) = tensor.values, !tensor.name.hasPrefix("time_proj") else { return tensor }
      let noise = normals(values.count, sample: UInt32(i))
      return NamedTensor(tensor.name, shape: tensor.shape, floats: zip(values, noise).map { $0 + 0.1 * $1 })
    }
    let labels: TensorData? =
      switch config.classEmbedding {
      case nil: nil
      case .learned: TensorData([1, 7] as [Int32], shape: [2])
      case .timestep: TensorData([1, 7] as [Float], shape: [2])
      case .identity: TensorData(normals(2 * config.timeChannels, sample: 1001), shape: [2, config.timeChannels])
      }
    run = NetworkRun(
      sample: TensorData(normals(2 * 3 * 8 * 8, sample: 1002), shape: [2, 3, 8, 8]),
      timestep: TensorData([3, 777] as [Float], shape: [2]), classLabels: labels,
      target: TensorData(normals(2 * 3 * 8 * 8, sample: 1003), shape: [2, 3, 8, 8]))
  }

  func results(on backend: any Backend) throws -> [NamedTensor] {
    try run(config, NetworkWeights(SafetensorsFile(bytes: Safetensors.bytes(weights)), for: config), on: backend)
  }

  /// What the network was given, as `ddpm run` reads it.
  var inputs: [NamedTensor] {
    let labels = run.classLabels.map { labels in
      if case .int32(let integers) = labels.scalars {
        NamedTensor("class_labels", shape: labels.shape.dimensions, integers: integers.map(Int.init))
      } else {
        NamedTensor("class_labels", shape: labels.shape.dimensions, floats: labels.floats)
      }
    }
    return [
      NamedTensor("sample", shape: run.sample.shape.dimensions, floats: run.sample.floats),
      NamedTensor("timestep", shape: [2], integers: run.timestep.floats.map { Int($0) }),
      NamedTensor("target", shape: run.sample.shape.dimensions, floats: run.target?.floats ?? []),
    ] + (labels.map { [$0] } ?? [])
  }

  static let cpu = CPUBackend(CPUBackend.Options())
}

private func normals(_ count: Int, sample: UInt32) -> [Float] {
  [Float](unsafeUninitializedCapacity: count) { values, initialized in
    values.initialize(repeating: 0)
    Philox4x32.fill(normals: values, seed: 3, sample: sample, step: 0, stream: .evaluation)
    initialized = count
  }
}

private func rms(_ values: [Float]) -> Double {
  (values.reduce(0) { $0 + Double($1) * Double($1) } / Double(values.count)).squareRoot()
}

@Suite(.serialized) struct PipelineVariantTests {
  /// The reference backend has been compared with PyTorch on the same networks by `scripts/check-diffusers.sh`.
  @Test(arguments: UNetVariant.all)
  func cpuBackendAgreesWithTheReferenceOnEveryVariant(variant: UNetVariant) throws {
    let variant = try VariantRun(variant)
    func floats(_ backend: any Backend) throws -> [String: [Float]] {
      Dictionary(
        uniqueKeysWithValues: try variant.results(on: backend).map { tensor in
          if case .floats(let values) = tensor.values { (tensor.name, values) } else { (tensor.name, []) }
        })
    }
    let expected = try floats(ReferenceBackend())
    let found = try floats(VariantRun.cpu)
    let typical = rms(expected.filter { $0.key.hasPrefix("grad.") }.flatMap(\.value))
    #expect(found.count == expected.count)
    for (name, values) in found.sorted(by: { $0.key < $1.key }) {
      let reference = try #require(expected[name])
      let isGradient = name.hasPrefix("grad.")
      let error = rms(zip(values, reference).map { $0 - $1 })
      #expect(error <= (isGradient ? max(1e-3 * rms(reference), 1e-5 * typical) : 1e-4 * rms(reference)), "\(name)")
    }
  }
}

extension PipelineVariantTests {
  /// One number for the whole batch is spread over it: the timestep, and a class that is a number.
  @Test(arguments: [[], [1]]) func singleNumbersAreSpread(shape: [Int]) throws {
    var config = UNetVariant.all[0].config
    config.classEmbedding = .timestep
    let file = try SafetensorsFile(
      bytes: Safetensors.bytes([
        NamedTensor("sample", shape: [2, 3, 8, 8], floats: normals(2 * 3 * 8 * 8, sample: 1)),
        NamedTensor("timestep", shape: shape, integers: [7]), NamedTensor("class_labels", shape: shape, floats: [4]),
      ]))
    let run = try NetworkRun(file, for: config, gradients: false)
    #expect(run.timestep == TensorData([7, 7] as [Float], shape: [2]))
    #expect(run.classLabels == TensorData([4, 4] as [Float], shape: [2]))
    let other = try SafetensorsFile(
      bytes: Safetensors.bytes([
        NamedTensor("sample", shape: [2, 3, 8, 8], floats: normals(2 * 3 * 8 * 8, sample: 1)),
        NamedTensor("timestep", shape: [3], integers: [7, 8, 9]),
      ]))
    #expect(throws: RunError.self) { try NetworkRun(other, for: config, gradients: false) }
  }
}

/// One half of `scripts/check-diffusers.sh`: writes a pipeline for each variant of the architecture, with our outputs and gradients.
/// The other half loads them in Python.
@Suite(.serialized) struct PipelineDiffusersTests {
  static let folder = ProcessInfo.processInfo.environment["DDPM_CHECK_DIFFUSERS"].map { URL(filePath: $0) }

  @Test(
    .enabled(if: folder != nil, "run by scripts/check-diffusers.sh"), arguments: Array(UNetVariant.all.enumerated()))
  func writesPipelinesForDiffusers(index: Int, variant: UNetVariant) throws {
    let folder = try #require(Self.folder)
    let directory = folder.appending(path: "\(index < 10 ? "0" : "")\(index) \(variant.testDescription)")
    let variant = try VariantRun(variant)
    try PipelineDirectory(
      network: variant.config, scheduler: ["_class_name": "DDPMScheduler", "variance_type": "fixed_large"]
    ).write(variant.weights, to: directory)
    // What `ddpm thermodynamics --keep` leaves there is nothing to diffusers.
    try Dissipation(production: [Double](repeating: 0.01, count: 1000), data: "d").write(toModelIn: directory)

    let (pipeline, weights) = try PipelineDirectory.load(directory)
    let unet = try #require(pipeline.network as? UNetConfig)
    #expect(unet == variant.config)
    let order = weights.parameters.map(\.name).joined(separator: " ")
    for (name, backend) in [("cpu", VariantRun.cpu as any Backend), ("reference", ReferenceBackend())] {
      try Safetensors.write(
        variant.run(unet, weights, on: backend) + variant.inputs,
        to: directory.appending(path: "io.\(name).safetensors"), metadata: ["parameters": order])
    }
  }
}
