import TensorGraph

/// How a network's first weights are drawn, by name.
public enum WeightInitialization: String, CaseIterable, Sendable {
  /// The paper's code: fan-average uniform, zero biases, and the last layer of each block, of each attention and of the
  /// network near zero, so that the network starts as almost the identity plus nothing.
  case ddpm
  /// PyTorch's defaults, which diffusers leaves as they are: Kaiming uniform with a = √5 for weights and biases.
  case diffusers

  /// The first values of every parameter, in order: functions of the seed and each element's place alone.
  public func values(for parameters: [Parameter], seed: UInt64) -> [TensorData] {
    parameters.enumerated().map { index, parameter in value(of: parameter, index: index, seed: seed) }
  }

  /// The first values of one parameter, the network's number `index`.
  public func value(of parameter: Parameter, index: Int, seed: UInt64) -> TensorData {
    TensorData(values(for: parameter, index: index, seed: seed), shape: parameter.shape)
  }

  private func values(for parameter: Parameter, index: Int, seed: UInt64) -> [Float] {
    let count = parameter.shape.count
    let draw = Draw(seed: seed, index: UInt32(truncatingIfNeeded: index), count: count)
    switch (parameter.role, self) {
    case (.normScale, _): return [Float](repeating: 1, count: count)
    case (.normShift, _), (.bias, .ddpm): return [Float](repeating: 0, count: count)
    case (.bias(let fanIn), .diffusers): return draw.uniform(bound: Self.kaiming(fanIn: fanIn))
    case (.weight(let last), .ddpm):
      // U(−b, b), b = √(3 s / ((fan in + fan out) / 2)): variance s over the mean of the fans. The paper's code takes 1e-10 for 0.
      let (fanIn, fanOut) = Self.fans(parameter.shape)
      let scale = last ? 1e-10 : 1
      return draw.uniform(bound: (3 * scale / (Double(fanIn + fanOut) / 2)).squareRoot())
    case (.weight, .diffusers): return draw.uniform(bound: Self.kaiming(fanIn: Self.fans(parameter.shape).fanIn))
    case (.embedding, _): return draw.normal(deviation: 1)
    case (.frequencies, _): return draw.normal(deviation: 16)
    }
  }

  /// b = gain √(3 / fan in) with gain = √(2 / (1 + a²)), which for a = √5 is 1 / √(fan in).
  private static func kaiming(fanIn: Int) -> Double { 1 / Double(fanIn).squareRoot() }

  /// Values that enter and leave one output: a kernel's area counts for both.
  private static func fans(_ shape: Shape) -> (fanIn: Int, fanOut: Int) {
    let area = shape.dimensions.dropFirst(2).reduce(1, *)
    return (shape[1] * area, shape[0] * area)
  }
}

/// The random numbers of one parameter: those of sample `index` in the stream of initialisation.
private struct Draw {
  let seed: UInt64
  let index: UInt32
  let count: Int

  func uniform(bound: Double) -> [Float] {
    blocks { Philox4x32.uniforms(of: $0) }.map { Float(bound) * (2 * $0 - 1) }
  }

  func normal(deviation: Float) -> [Float] { blocks { Philox4x32.normals(of: $0) }.map { deviation * $0 } }

  private func blocks(_ transform: (SIMD4<UInt32>) -> SIMD4<Float>) -> [Float] {
    let key = Philox4x32.key(seed: seed)
    return [Float](unsafeUninitializedCapacity: count) { values, initialized in
      for start in stride(from: 0, to: count, by: 4) {
        let counter = SIMD4(UInt32(truncatingIfNeeded: start / 4), index, 0, RandomStream.initialization.rawValue)
        let four = transform(Philox4x32.block(counter: counter, key: key))
        for lane in 0..<min(4, count - start) { values.initializeElement(at: start + lane, to: four[lane]) }
      }
      initialized = count
    }
  }
}
