import Diffusion
import TensorGraph
import Testing

@Suite struct ConditionTests {
  /// A function of (seed, sample, step): whatever part of the batch it is drawn for.
  @Test func droppingDependsOnSeedSampleAndStep() {
    let classes = (0..<1000).map { Optional($0 % 10) }
    let drop = { (samples: Range<Int>, seed: UInt64, step: Int) in
      Condition.classes(Array(classes[samples])).dropped(rate: 0.3, seed: seed, samples: samples, step: step).classes
        ?? []
    }
    let all = drop(0..<1000, 7, 3)
    #expect(drop(0..<400, 7, 3) + drop(400..<401, 7, 3) + drop(401..<1000, 7, 3) == all)
    #expect(drop(0..<1000, 8, 3) != all && drop(0..<1000, 7, 4) != all)
    // What is left is left alone, and five standard errors about the rate are dropped.
    #expect(zip(all, classes).allSatisfy { $0 == nil || $0 == $1 })
    let dropped = Double(all.count { $0 == nil })
    let deviation: Double = (1000 * 0.3 * 0.7).squareRoot()
    #expect(abs(dropped - 300) < 5 * deviation)
    // The convention: lane 0 of the block at (0, sample, step, stream).
    for n in [0, 1, 999] {
      let block = Philox4x32.block(
        counter: SIMD4(0, UInt32(n), 3, RandomStream.conditionDropout.rawValue), key: Philox4x32.key(seed: 7))
      #expect((Float(block[0] >> 8) * 0x1p-24 < 0.3) == (all[n] == nil))
    }
  }

  @Test func theRatesEndsDropNothingAndAll() {
    let pictures = normals(.init(3, 1, 2, 2), seed: 1)
    let condition = Condition(classes: [4, nil, 6], pictures: pictures)
    #expect(condition.dropped(rate: 0, seed: 0, samples: 0..<3, step: 1) == condition)
    #expect(condition.dropped(rate: 1, seed: 0, samples: 0..<3, step: 1) == condition.withoutClasses)
    #expect(condition.withoutClasses == Condition(classes: [nil, nil, nil], pictures: pictures))
    #expect(Condition.none.dropped(rate: 1, seed: 0, samples: 0..<3, step: 1) == .none)
  }
}
