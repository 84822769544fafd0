#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// How fast steps are, without what lies between them.
struct StepClock {
  let batchSize: Int
  private(set) var total = 0.0
  private var started = 0.0
  private var mean: Double?

  init(batchSize: Int) { self.batchSize = batchSize }

  mutating func start() { started = Self.now }

  /// A step is over; what follows without another `start` belongs to the next.
  mutating func stop() {
    let now = Self.now
    let seconds = now - started
    started = now
    total += seconds
    mean = mean.map { 0.95 * $0 + 0.05 * seconds } ?? seconds
  }

  var secondsPerStep: Double { mean ?? 0 }
  var imagesPerSecond: Double { Double(batchSize) / max(secondsPerStep, 1e-9) }

  private static var now: Double { ProcessInfo.processInfo.systemUptime }
}
