extension Reference {
  /// Element j of sample n is lane j % 4 of the block at counter (j / 4, sample, step, stream): see `Philox4x32`.
  static func gaussianNoise(counters: Value, key: Value, sample: Shape, stream: UInt32) -> [Double] {
    random(counters: counters, key: key, count: sample.count, stream: stream) { block in
      let z = Philox4x32.normals(of: block)
      return SIMD4<Double>(z)
    }
  }

  /// Keeps an element, as 1 / (1 − rate), where its uniform number reaches the rate: see `Philox4x32`.
  static func dropoutMask(counters: Value, key: Value, sample: Shape, rate: Double, stream: UInt32) -> [Double] {
    random(counters: counters, key: key, count: sample.count, stream: stream) { block in
      let kept = SIMD4<Float>.zero.replacing(with: 1, where: Philox4x32.uniforms(of: block) .>= Float(rate))
      return SIMD4<Double>(kept) / (1 - rate)
    }
  }

  private static func random(
    counters: Value, key: Value, count: Int, stream: UInt32, lanes: (SIMD4<UInt32>) -> SIMD4<Double>
  ) -> [Double] {
    let key = SIMD2(word(key.elements[0]), word(key.elements[1]))
    var y: [Double] = []
    y.reserveCapacity(counters.shape[0] * count)
    for n in 0..<counters.shape[0] {
      let (sample, step) = (word(counters.elements[2 * n]), word(counters.elements[2 * n + 1]))
      for first in stride(from: 0, to: count, by: 4) {
        let z = lanes(Philox4x32.block(counter: SIMD4(UInt32(first / 4), sample, step, stream), key: key))
        for lane in 0..<min(4, count - first) { y.append(z[lane]) }
      }
    }
    return y
  }

  /// The 32 bits of an int32.
  private static func word(_ value: Double) -> UInt32 { UInt32(bitPattern: Int32(value)) }
}
