import Files
import Networks
import Ranks
import TensorGraph

extension TrainingRun {
  /// Waits for all ranks, and holds what they have against each other.
  ///
  /// - Returns: the machine of each.
  func meet() throws -> [String] {
    guard ranks.isShared else { return [] }
    let hosts = try ranks.gather(ranks.host)
    try ranks.agree(on: "digest of its data", identity["data"] ?? "")
    try ranks.agree(on: "checkpoint to go on from", "step \(state.step)")
    let settings = JSONValue.object(configuration.object.filter { $0.key != "data" })
    try ranks.agree(on: "configuration", settings.compactText)
    let arithmetic = try ranks.gather("\(backend.name), \(backend.arithmetic)")
    if Set(arithmetic).count > 1 {
      let rank = arithmetic.firstIndex { $0 != arithmetic[0] } ?? 0
      warnings.append(
        "rank \(rank) on \(hosts[rank]) computes by \(arithmetic[rank]), and rank 0 by \(arithmetic[0]): the result will differ in its "
          + "last digits from that of other ranks")
    }
    return hosts
  }

  /// Gives ``model`` the average that the ranks have parts of.
  func bringAverage() throws {
    guard ranks.isShared else { return }
    try engine.onFirst { states in
      for parameter in try network.parameters() {
        let name = StateName.ema + parameter.name
        try average.write(name, states.read(name))
      }
    }
  }
}

extension Architecture {
  /// A program that has the moving average as its states, and does nothing.
  func averageAlone() throws -> Program {
    let builder = GraphBuilder()
    _ = try declare(in: builder, prefix: StateName.ema)
    return try builder.finish()
  }
}
