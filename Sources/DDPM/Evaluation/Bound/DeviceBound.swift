import Diffusion
import Networks
import TensorGraph

/// The bound's terms where the network runs: noise, x_t, prediction and terms stay there, and three numbers a sample come back.
///
/// The equations are those of `VariationalBound`, in the graph's 32 bits.
final class DeviceBound: Sendable {
  private let denoiser: NetworkDenoiser
  private let seed: UInt64
  private let noised: any Executable
  private let measured: any Executable

  /// - Returns: nil where x̂_0 is limited by a rule that no graph has.
  /// - Throws: what compiling throws.
  init?(
    _ bound: VariationalBound, _ denoiser: NetworkDenoiser, seed: UInt64, on backend: any Backend
  ) throws {
    if case .dynamic = bound.process.limit { return nil }
    self.denoiser = denoiser
    self.seed = seed
    let (n, channels, size) = (
      denoiser.batchSize / backend.deviceCount, denoiser.architecture.channels, denoiser.size
    )
    let shape: Shape = [n, channels, size.height, size.width]

    let first = GraphBuilder()
    let ε = Tensor.gaussianNoise(
      sample: [channels, size.height, size.width], counters: first.input("counters", [n, 2], .int32),
      key: first.input("key", [2], .int32), stream: RandomStream.evaluation.rawValue)
    let graph = ProcessGraph(bound.process, t: first.input("timestep", [n], .int32))
    first.output("noise", ε)
    first.output("xt", graph.noised(first.input("x0", shape), epsilon: ε))
    noised = try backend.compile(first.finish())

    let second = GraphBuilder()
    let terms = ProcessGraph(bound.process, t: second.input("timestep", [n], .int32)).terms(
      x0: second.input("x0", shape), epsilon: second.input("noise", shape),
      output: second.input("output", [n, denoiser.architecture.outChannels, size.height, size.width]),
      decoder: bound.decoder)
    second.output("nats", terms.nats)
    second.output("x0_error", terms.x0Error)
    second.output("epsilon_error", terms.εError)
    measured = try backend.compile(second.finish())
  }

  /// The terms of up to a batch of pairs.
  func terms(_ pairs: [ImageWalk.Pair]) throws -> [VariationalBound.Term] {
    // What is missing to a batch is the last pair again.
    let filled = pairs + Array(repeating: pairs[pairs.count - 1], count: denoiser.batchSize - pairs.count)
    let n = filled.count
    let x0 = Images(joining: filled.map(\.x0))
    let t = TensorData(filled.map { Int32($0.t.number) }, shape: [n])
    let pixels = try x0.tensor()
    let start = try noised.run(onDevice: [
      "x0": pixels, "timestep": t, "counters": TensorData.counters(filled.map { ($0.index, $0.t.number) }),
      "key": TensorData.key(seed: seed),
    ])
    guard let noise = start["noise"], let xt = start["xt"] else {
      preconditionFailure("the program declares outputs named noise and xt")
    }
    let output = try denoiser.predict(
      denoiser.images(xt, shape: x0.shape), at: filled.map(\.t), given: Condition(joining: filled.map(\.condition)))
    let found = try measured.run(onDevice: [
      "x0": pixels, "noise": noise, "output": output.tensor(), "timestep": t,
    ]).mapValues { try $0.data().floats.map(Double.init) }
    return pairs.indices.map { i in
      VariationalBound.Term(
        t: pairs[i].t, nats: found["nats"]?[i] ?? .nan, x0Error: found["x0_error"]?[i] ?? .nan,
        epsilonError: found["epsilon_error"]?[i] ?? .nan)
    }
  }
}
