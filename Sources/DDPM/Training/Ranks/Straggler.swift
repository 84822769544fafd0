import Files

/// Which rank keeps the others waiting: what they took since the last log line.
struct Straggler {
  private var computing: [Double] = []
  private var exchanged = 0.0
  private var steps = 0
  /// Who was named last, so that it is said once.
  private var named: Int?

  /// How many times as long as the median a rank takes that is named.
  private static let factor = 1.5

  mutating func add(_ times: RankTimes) {
    if computing.isEmpty { computing = times.computing.map { _ in 0 } }
    for (rank, seconds) in times.computing.enumerated() { computing[rank] += seconds }
    exchanged += times.communicating
    steps += 1
  }

  /// Seconds of a step; nil where there was none.
  var communicating: Double? { steps > 0 ? exchanged / Double(steps) : nil }

  /// Names a rank that takes much longer than most, and begins anew.
  mutating func warning(hosts: [String]) -> String? {
    defer { (computing, exchanged, steps) = ([], 0, 0) }
    guard let slowest = computing.indices.max(by: { computing[$0] < computing[$1] }) else { return nil }
    let median = computing.sorted()[(computing.count - 1) / 2]
    // Below a millisecond a step it is the scheduler's whim.
    guard computing[slowest] > Self.factor * median, computing[slowest] > 1e-3 * Double(steps) else {
      named = nil
      return nil
    }
    defer { named = slowest }
    guard named != slowest else { return nil }
    func perStep(_ seconds: Double) -> String { Text.fixed(seconds / Double(steps), 3) }
    return
      "rank \(slowest) on \(hosts[slowest]) keeps the others waiting: it computes \(perStep(computing[slowest])) s a step, and the median is "
      + "\(perStep(median)) s"
  }
}
