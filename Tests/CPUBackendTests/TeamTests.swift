import CKernels
import Platform
import Testing

/// The threads that stand in where there is no libgomp give what libgomp's give. Each on a thread of its own, which has a pool of its own.
@Suite(.serialized) struct TeamTests {
  private struct Visits {
    var counts: UnsafeMutablePointer<Int32>
    var sums: UnsafeMutablePointer<Int32>
  }

  /// Each thread's number comes once, and what one wrote before the barrier all see after it.
  @Test(arguments: [1, 2, 3, 7]) func everyThreadComesOnceAndBarriersHold(threads: Int32) {
    ck_use_own_team(1)
    defer { ck_use_own_team(0) }
    for _ in 0..<200 {
      let counts = UnsafeMutablePointer<Int32>.allocate(capacity: 8)
      let sums = UnsafeMutablePointer<Int32>.allocate(capacity: 8)
      counts.initialize(repeating: 0, count: 8)
      sums.initialize(repeating: 0, count: 8)
      defer {
        counts.deallocate()
        sums.deallocate()
      }
      var visits = Visits(counts: counts, sums: sums)
      ck_set_threads(threads)
      ck_parallel(
        { context, thread, threads in
          guard let visits = context?.assumingMemoryBound(to: Visits.self).pointee else { return }
          for round in 1...3 {
            visits.counts[Int(thread)] += Int32(round)
            ck_barrier()
            visits.sums[Int(thread)] += (0..<threads).reduce(0) { $0 + visits.counts[Int($1)] }
            ck_barrier()
          }
        }, &visits)
      ck_set_threads(1)
      #expect((0..<Int(threads)).allSatisfy { counts[$0] == 6 })
      // 1, 3 and 6 of each thread.
      #expect((0..<Int(threads)).allSatisfy { sums[$0] == threads * 10 })
    }
  }

  /// Each item comes once, and has one thread.
  @Test(arguments: [false, true], [1, 3]) func everyItemComesOnce(own: Bool, threads: Int32) {
    ck_use_own_team(own ? 1 : 0)
    defer { ck_use_own_team(0) }
    let counts = UnsafeMutablePointer<Int32>.allocate(capacity: 8)
    counts.initialize(repeating: 0, count: 8)
    defer { counts.deallocate() }
    ck_set_threads(threads)
    ck_each(8, { context, item in context?.assumingMemoryBound(to: Int32.self)[item] += ck_threads() }, counts)
    #expect(ck_threads() == threads)
    ck_set_threads(1)
    #expect((0..<8).allSatisfy { counts[$0] == 1 })
  }

  /// A kernel with barriers, bit for bit.
  @Test func kernelsGiveTheSame() {
    let x = Noise.array(2 * 64 * 300)
    func normed(own: Bool) -> [Float] {
      ck_use_own_team(own ? 1 : 0)
      defer { ck_use_own_team(0) }
      ck_set_threads(3)
      defer { ck_set_threads(1) }
      var norm = ck_group_norm(
        samples: 2, channels: 64, pixels: 300, groups: 8, epsilon: 1e-5, activation: CK_ACTIVATION_SILU,
        format: CK_PLAIN)
      let (y, mean, rstd) = (Guarded(empty: x.count), Guarded(empty: 16), Guarded(empty: 16))
      let workspace = Guarded(empty: ck_group_norm_workspace(&norm))
      let ones = [Float](repeating: 1, count: 64)
      ck_group_norm_forward(&norm, x, nil, ones, ones, y.pointer, mean.pointer, rstd.pointer, workspace.pointer)
      return y.values
    }
    #expect(normed(own: true) == normed(own: false))
  }
}

extension Noise {
  fileprivate static func array(_ count: Int) -> [Float] {
    var noise = Noise(7)
    return noise.array(count)
  }
}
