/// Where the bytes of an executable go.
public struct MemoryPlan: Sendable, Equatable {
  /// Its `States`, all of them: parameters, moments, averages.
  public var states: Int
  /// What is kept ready from run to run: constants, and weights in the form that kernels read.
  public var prepared: Int
  /// Intermediate results, sharing space by lifetime.
  public var activations: Int
  /// What intermediate results would take without sharing.
  public var unsharedActivations: Int
  /// Working space of single operators, shared by all.
  public var scratch: Int

  /// Bytes each; ``unsharedActivations`` is for comparison and not part of ``total``.
  public init(states: Int, prepared: Int = 0, activations: Int, unsharedActivations: Int, scratch: Int) {
    self.states = states
    self.prepared = prepared
    self.activations = activations
    self.unsharedActivations = unsharedActivations
    self.scratch = scratch
  }

  /// The bytes of states, prepared constants, activations and scratch together.
  public var total: Int { states + prepared + activations + scratch }

  /// Both together, where `other` is of an executable with the same `States`.
  public func with(_ other: MemoryPlan) -> MemoryPlan {
    precondition(states == other.states, "plans of different states: \(states) and \(other.states) bytes")
    return sum(other, states: states)
  }

  /// Both together, where `other` is of an executable with `States` of its own.
  public func beside(_ other: MemoryPlan) -> MemoryPlan { sum(other, states: states + other.states) }

  private func sum(_ other: MemoryPlan, states: Int) -> MemoryPlan {
    MemoryPlan(
      states: states, prepared: prepared + other.prepared, activations: activations + other.activations,
      unsharedActivations: unsharedActivations + other.unsharedActivations, scratch: scratch + other.scratch)
  }
}
