import TensorGraph
import Testing

@Suite struct LifetimesTests {
  /// x → a = exp x → view of a → b = sin view; c = a + b; s ← c. The state's and the view's memory belong to others.
  @Test func viewsKeepWhatTheyShow() throws {
    let builder = GraphBuilder()
    let x = builder.input("x", [2, 4])
    _ = builder.input("never read", [3])
    let s = builder.state("s", [2, 4])
    let a = x.exp()
    let row = a.reshaped([8]).sliced(axis: 0, 2..<4)
    let b = row.sin()
    let c = a.sliced(axis: 1, 0..<2) + b.reshaped([1, 2])
    builder.output("y", c.detached())
    builder.update("s", s * x)
    let program = try builder.finish()
    let lifetimes = program.lifetimes

    func node(_ matches: (Op) -> Bool) throws -> Int { try #require(program.nodes.firstIndex { matches($0.op) }) }
    func value(_ node: Int) -> Int { program.nodes[node].results[0] }
    let exp = try node { $0 == .unary(.exp) }
    let sin = try node { $0 == .unary(.sin) }
    let add = try node { $0 == .binary(.add) }
    let detach = try node { $0 == .detach }
    let cut = try node { $0 == .slice(axis: 1, from: 0, to: 2) }
    let views = try [node { $0 == .reshape([8]) }, node { $0 == .slice(axis: 0, from: 2, to: 4) }]

    #expect(lifetimes.producers[value(exp)] == exp)
    #expect(lifetimes.readers[value(exp)] == [views[0], cut])
    for view in views {
      #expect(lifetimes.roots[value(view)] == value(exp))
      #expect(lifetimes.ends[value(view)] == cut)
    }
    // A part of every row is a copy.
    #expect(lifetimes.roots[value(cut)] == value(cut))
    #expect(Set(lifetimes.memoryReaders(of: value(views[1]))) == [views[0], views[1], sin, cut])
    #expect(!lifetimes.isKept[value(exp)])
    #expect(lifetimes.isKept[value(add)] && lifetimes.isKept[value(detach)])
    #expect(lifetimes.ends[value(add)] == program.nodes.count)
    #expect(Set(lifetimes.dying[cut]) == [value(exp), value(views[0]), value(views[1])])
    // What is never read dies where it was made.
    #expect(lifetimes.dying[1] == [value(1)])
    // x, the state and a (8 each), b (2) and the part of a (4), when that is cut.
    #expect(lifetimes.peak { program.types[$0].shape.count }.byteCount == 3 * 8 + 2 + 4)
  }
}
