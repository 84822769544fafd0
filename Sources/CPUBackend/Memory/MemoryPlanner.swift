import TensorGraph

/// Gives every intermediate result a place in one arena: results that are never needed at the same time share space.
///
/// Largest first, each at the lowest offset where it meets no other that is alive at the same time.
struct MemoryPlanner {
  /// Cache lines, and what AVX-512 loads want.
  static let alignment = 64

  private struct Lifetime {
    var buffer: Buffer
    var first: Int
    var last: Int
    /// Buffers that live at this one's place.
    var tenants: [Buffer] = []
  }

  private(set) var arenaByteCount = 0
  private(set) var unsharedByteCount = 0
  private(set) var scratchByteCount = 0
  private var places: [(buffer: Buffer, offset: Int)] = []

  init(_ steps: [Step]) {
    let lifetimes = MemoryPlanner.lifetimes(steps)
    scratchByteCount = steps.map(\.scratch).max() ?? 0
    unsharedByteCount = lifetimes.reduce(0) { $0 + ($1.tenants + [$1.buffer]).reduce(0) { $0 + $1.byteCount } }

    var placed: [(lifetime: Lifetime, offset: Int, end: Int)] = []
    for lifetime in lifetimes.sorted(by: { ($0.buffer.byteCount, $1.first) > ($1.buffer.byteCount, $0.first) }) {
      let size = lifetime.buffer.byteCount.rounded(up: MemoryPlanner.alignment)
      var offset = 0
      for other in placed where other.lifetime.first <= lifetime.last && lifetime.first <= other.lifetime.last {
        if offset + size <= other.offset { break }
        offset = max(offset, other.end)
      }
      let index = placed.firstIndex { $0.offset > offset } ?? placed.count
      placed.insert((lifetime, offset, offset + size), at: index)
      arenaByteCount = max(arenaByteCount, offset + size)
    }
    places = placed.flatMap { place in ([place.lifetime.buffer] + place.lifetime.tenants).map { ($0, place.offset) } }
  }

  /// Tells every buffer where it is.
  func assign(base: UnsafeMutableRawPointer) {
    for (buffer, offset) in places { buffer.address = base + offset }
  }

  /// From each arena buffer's first step to its last, after results took the places of operands that die with them.
  private static func lifetimes(_ steps: [Step]) -> [Lifetime] {
    var spans: [ObjectIdentifier: (buffer: Buffer, first: Int, last: Int)] = [:]
    var order: [ObjectIdentifier] = []
    for (index, step) in steps.enumerated() {
      for buffer in (step.reads + step.writes).map(\.root) {
        guard case .arena = buffer.home else { continue }
        let id = ObjectIdentifier(buffer)
        if spans[id] == nil { order.append(id) }
        spans[id] = (buffer, spans[id]?.first ?? index, index)
      }
    }
    // The buffer at whose place each one lives.
    var host: [ObjectIdentifier: ObjectIdentifier] = [:]
    func find(_ id: ObjectIdentifier) -> ObjectIdentifier { host[id].map(find) ?? id }
    for (index, step) in steps.enumerated() {
      guard let (result, operand) = step.inPlace else { continue }
      let resultID = ObjectIdentifier(result)
      let operandID = find(ObjectIdentifier(operand.root))
      guard let resultSpan = spans[resultID], let operandSpan = spans[operandID],
        resultSpan.first == index, operandSpan.last == index, operandSpan.buffer.byteCount >= result.byteCount,
        resultID != operandID
      else { continue }
      // Another operand that is a view of the same memory would be overwritten while it is read: only exact operands qualify.
      if case .view = operand.home { continue }
      host[resultID] = operandID
      spans[operandID]?.last = resultSpan.last
    }
    var tenants: [ObjectIdentifier: [Buffer]] = [:]
    for id in order where host[id] != nil {
      if let span = spans[id] { tenants[find(id), default: []].append(span.buffer) }
    }
    return order.compactMap { id in
      guard host[id] == nil, let span = spans[id] else { return nil }
      return Lifetime(buffer: span.buffer, first: span.first, last: span.last, tenants: tenants[id] ?? [])
    }
  }
}

extension Int {
  /// The next multiple of `step`.
  func rounded(up step: Int) -> Int { (self + step - 1) / step * step }
}
