import TensorGraph

/// Which additions are done by the operator that produces one of their operands.
///
/// The residual additions of the network and of its gradient cost a pass over memory each; convolutions and the norm's
/// gradient add while they write their result.
struct Fusion {
  struct Guest {
    /// The node that is computed at the addition's place.
    var node: Int
    /// The addition's other operand.
    var addend: Program.ValueID
  }

  private var guests: [Int: Guest] = [:]
  private var hosts: [Int: Int] = [:]

  init(_ program: Program, _ lifetimes: Lifetimes) {
    for (index, node) in program.nodes.enumerated() where node.op == .binary(.add) {
      let types = (node.operands + node.results).map { program.types[$0] }
      guard types.allSatisfy({ $0 == types[0] }), node.operands[0] != node.operands[1] else { continue }
      // The later of the two producers has less to keep waiting.
      let candidates = [(0, 1), (1, 0)].compactMap { own, other -> Guest? in
        let value = node.operands[own]
        let from = lifetimes.producers[value]
        guard hosts[from] == nil, !lifetimes.isKept[value], lifetimes.readers[value] == [index],
          Fusion.canAdd(program.nodes[from].op), program.nodes[from].results[0] == value,
          // Its further results must not be needed before the addition's place.
          program.nodes[from].results.dropFirst().allSatisfy({ lifetimes.readers[$0].allSatisfy { $0 > index } })
        else { return nil }
        return Guest(node: from, addend: node.operands[other])
      }
      guard let guest = candidates.max(by: { $0.node < $1.node }) else { continue }
      guests[index] = guest
      hosts[guest.node] = index
    }
  }

  private static func canAdd(_ op: Op) -> Bool {
    switch op {
    case .convolution, .convolutionInputGradient, .groupNormGradient: true
    default: false
    }
  }

  /// What is computed together with the addition at `index`.
  func guest(of index: Int) -> Guest? { guests[index] }

  /// The addition with which the node at `index` is computed.
  func host(of index: Int) -> Int? { hosts[index] }
}
