import TensorGraph

extension Condition {
  /// The same pictures, and of every sample any class.
  public var withoutClasses: Condition {
    Condition(classes: classes.map { Array(repeating: nil, count: $0.count) }, pictures: pictures)
  }

  /// What a training step shows the network, so that one network learns ε_c and ε_∅ (Ho & Salimans 2022, algorithm 1): each class becomes
  /// ∅ with probability `rate`. A function of (seed, sample, step), so the same on resume and however the batch is divided.
  ///
  /// - Parameter samples: the batch's places in the run's count of samples.
  public func dropped(rate: Double, seed: UInt64, samples: Range<Int>, step: Int) -> Condition {
    guard rate > 0, let classes else { return self }
    precondition(samples.count == classes.count, "\(samples.count) samples of \(classes.count) classes")
    let key = Philox4x32.key(seed: seed)
    let kept = zip(samples, classes).map { sample, label in
      let counter = SIMD4(
        0, UInt32(truncatingIfNeeded: sample), UInt32(truncatingIfNeeded: step), RandomStream.conditionDropout.rawValue)
      let u = Philox4x32.uniforms(of: Philox4x32.block(counter: counter, key: key))[0]
      return Double(u) < rate ? nil : label
    }
    return Condition(classes: kept, pictures: pictures)
  }
}
