import Ranks

/// The order in which the parts of a batch are summed: one binary tree over all of them, whoever computes which.
///
/// n parts are the largest power of two below n, and the rest; each of the two is summed so, then both together. Floating-point sums
/// depend on their order, so what is summed along this tree is the same to the last bit wherever its nodes were computed.
package struct SumTree: Sendable {
  package let parts: Int

  package init(parts: Int) { self.parts = parts }

  /// The parts of one of several ranks.
  package func share(ofRank rank: Int, of count: Int) -> Range<Int> {
    Range(shareOf: parts, rank: rank, of: count)
  }

  /// The largest nodes that lie within `range`, left to right: what whoever computed those parts can sum alone.
  package func nodes(within range: Range<Int>) -> [Range<Int>] {
    func walk(_ node: Range<Int>) -> [Range<Int>] {
      if range.lowerBound <= node.lowerBound && node.upperBound <= range.upperBound { return [node] }
      guard range.overlaps(node) else { return [] }
      let middle = Self.middle(of: node)
      return walk(node.lowerBound..<middle) + walk(middle..<node.upperBound)
    }
    return range.isEmpty ? [] : walk(0..<parts)
  }

  /// The sum of all, of the sums of nodes that cover it.
  package func sum<Value>(_ value: (Range<Int>) -> Value?, adding: (Value, Value) -> Value) -> Value {
    func walk(_ node: Range<Int>) -> Value {
      if let known = value(node) { return known }
      precondition(node.count > 1, "nobody computed part \(node.lowerBound)")
      let middle = Self.middle(of: node)
      return adding(walk(node.lowerBound..<middle), walk(middle..<node.upperBound))
    }
    return walk(0..<parts)
  }

  /// Where the node's left child ends. A node of more than one part begins at an even one.
  private static func middle(of node: Range<Int>) -> Int {
    node.lowerBound + 1 << (Int.bitWidth - 1 - (node.count - 1).leadingZeroBitCount)
  }

  /// What is done to sum a node.
  package enum Step: Hashable, Sendable {
    /// Computes a part: `accumulated` ← its gradient, added to what is there if it `keeps` that.
    case part(Int, keeps: Bool)
    /// Adds the sums that wait at some levels to `accumulated`; the result goes to a level, or stays.
    case fold(Fold)
  }

  /// Sums of 2ˡ parts wait at level l ≥ 1.
  package struct Fold: Hashable, Sendable {
    /// Lowest first.
    package let levels: [Int]
    /// nil for `accumulated`.
    package let target: Int?
  }

  /// How a node is summed part by part, with at most one sum waiting at each level: binary counting.
  package static func steps(of node: Range<Int>) -> [Step] {
    var steps: [Step] = []
    for place in 0..<node.count {
      let isRight = place % 2 == 1
      steps.append(.part(node.lowerBound + place, keeps: isRight))
      // The parts that wait, in sums of as many as the bits of their number say.
      let waiting = isRight ? place - 1 : place
      if place == node.count - 1 {
        let levels = (1..<Int.bitWidth - 1).filter { waiting & 1 << $0 != 0 }
        if !levels.isEmpty { steps.append(.fold(Fold(levels: levels, target: nil))) }
      } else if isRight {
        let levels = Array((1..<Int.bitWidth - 1).prefix { waiting & 1 << $0 != 0 })
        steps.append(.fold(Fold(levels: levels, target: levels.count + 1)))
      }
    }
    return steps
  }
}
