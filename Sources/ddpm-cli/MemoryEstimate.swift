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
    let available = CPUBackend.availableByteCount
    guard results <= available else { throw MemoryError(needed: results, available: available, advice: advice) }
  }
}

/// Results that do not fit.
struct MemoryError: Error, CustomStringConvertible {
  let needed, available: Int
  let advice: String

  var description: String {
    "what is drawn takes \(Text.mebibytes(needed)) until it is written, but only \(Text.mebibytes(available)) are available; "
      + advice
  }
}
