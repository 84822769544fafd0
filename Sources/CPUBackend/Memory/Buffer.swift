import TensorGraph

/// How the elements of a tensor lie in memory.
enum Layout: Hashable {
  /// Row-major.
  case plain
  /// nChw16c, [N][C/16][positions][16]: (N, C, …) with C a multiple of 16.
  case blocked
  /// OIhw16i16o, [O/16][I/16][Kh·Kw][16 i][16 o]: a kernel with both channel counts multiples of 16.
  case blockedKernel
  /// The same rounded to bfloat16, those of two inputs in a word: [O/16][I/16][Kh·Kw][8 i][16 o][2 i].
  case roundedKernel

  /// The elements of one block: a vector register of AVX-512.
  static let block = 16
}

/// Memory for one tensor. Its address is known once the plan is made.
final class Buffer {
  enum Home {
    /// Shares the arena with other intermediate results, by lifetime.
    case arena
    /// Lives as long as the executable: states, constants, packed weights.
    case persistent
    /// Lies inside another buffer.
    case view(of: Buffer, offset: Int)
  }

  let byteCount: Int
  let home: Home
  var address: UnsafeMutableRawPointer?

  init(byteCount: Int, home: Home = .arena) {
    self.byteCount = byteCount
    self.home = home
  }

  /// The buffer that owns the memory.
  var root: Buffer {
    if case .view(let parent, _) = home { parent.root } else { self }
  }

  /// The bytes from the root's start.
  private var offset: Int {
    if case .view(let parent, let offset) = home { parent.offset + offset } else { 0 }
  }

  /// The first byte. Only inside a run, when the plan has given every buffer its place.
  var raw: UnsafeMutableRawPointer {
    guard let base = root.address else { preconditionFailure("a buffer is used before memory was planned") }
    return base + offset
  }

  var floats: UnsafeMutablePointer<Float> { raw.floats }
  var words: UnsafeMutablePointer<UInt32> { raw.assumingMemoryBound(to: UInt32.self) }
  var integers: UnsafeMutablePointer<Int32> { raw.assumingMemoryBound(to: Int32.self) }
}

/// One operation of a compiled program.
struct Step {
  /// The operator and the algorithm, as profiles print them.
  var label: String
  var reads: [Buffer]
  var writes: [Buffer]
  /// Bytes of working space that every step may overwrite.
  var scratch = 0
  /// Multiplications and additions, for profiles.
  var flops = 0.0
  /// A result that may take the place of an operand which nobody needs after this step.
  var inPlace: (result: Buffer, operand: Buffer)?
  var run: (_ scratch: UnsafeMutableRawPointer) throws -> Void

  /// The same, but only in runs before which one of `states` has changed: for what is derived from them and kept.
  func afterChanges(of states: [StateStorage]) -> Step {
    var step = self
    var seen = -1
    step.run = { [run] scratch in
      // Versions only grow: so does their sum with any of them.
      let version = states.reduce(0) { $0 + $1.version }
      guard seen != version else { return }
      try run(scratch)
      seen = version
    }
    return step
  }
}

extension UnsafeRawPointer {
  var floats: UnsafePointer<Float> { assumingMemoryBound(to: Float.self) }
}

extension UnsafeMutableRawPointer {
  var floats: UnsafeMutablePointer<Float> { assumingMemoryBound(to: Float.self) }
}
