import CPUBackend
import Files
import TensorGraph

/// The memory that a command will take, which is said before the work begins.
struct MemoryEstimate {
  let plan: MemoryPlan
  /// Beside the networks: the process itself, data, and batches on their way.
  let host: Int
  /// Results that are kept until they are written.
  var results = 0

  /// One line of it.
  ///
  /// - Parameter others: what lies beside the networks, in the command's words.
  func line(_ others: String) -> String {
    "memory      \(Text.mebibytes(plan.total + host + results)): states \(Text.mebibytes(plan.states)), prepared "
      + "weights \(Text.mebibytes(plan.prepared)), activations \(Text.mebibytes(plan.activations + plan.scratch)), "
      + "\(others) \(Text.mebibytes(host + results))"
  }

  /// That there is room for the results. The networks are compiled by then, which is refused where they do not fit.
  ///
  /// - Parameter advice: how to need less.
  func check(_ advice: String) throws(MemoryError) {
    try MemoryError.check("what is drawn, until it is written,", needs: results, advice)
  }
}

/// Something does not fit into what memory there is.
struct MemoryError: Error, CustomStringConvertible {
  let what: String
  let needed, available: Int
  let advice: String

  /// - Parameter advice: how to need less.
  static func check(_ what: String, needs needed: Int, _ advice: String) throws(MemoryError) {
    let available = CPUBackend.availableByteCount
    guard needed <= available else {
      throw MemoryError(what: what, needed: needed, available: available, advice: advice)
    }
  }

  var description: String {
    "\(what) takes \(Text.mebibytes(needed)), but only \(Text.mebibytes(available)) are available; \(advice)"
  }
}
