import Platform
import TensorGraph
import Threads

extension CPUBackend {
  /// The bytes that the system can still give to this process, beside what was promised already.
  package static var availableByteCount: Int { AlignedMemory.availableByteCount }
}

/// Zeroed memory, aligned to cache lines; to huge pages where there is enough of it.
final class AlignedMemory {
  let base: UnsafeMutableRawPointer
  let byteCount: Int
  private let mappedByteCount: Int

  private static let hugePage = 2 << 20

  init(byteCount: Int) throws(ExecutionError) {
    self.byteCount = byteCount
    let wanted = max(byteCount, 1)
    // One huge page more, to be able to start at a huge page's boundary.
    mappedByteCount = wanted.rounded(up: 4096) + (wanted >= AlignedMemory.hugePage ? AlignedMemory.hugePage : 0)
    guard
      let mapped = mmap(nil, mappedByteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      mapped != MAP_FAILED
    else { throw .allocationRefused(byteCount: mappedByteCount) }
    mappedBase = mapped
    if wanted >= AlignedMemory.hugePage {
      let aligned = Int(bitPattern: mapped).rounded(up: AlignedMemory.hugePage)
      base = mapped + (aligned - Int(bitPattern: mapped))
      // Fewer address translations; a kernel without huge pages ignores it.
      _ = madvise(base, wanted.rounded(up: 4096), Int32(MADV_HUGEPAGE))
    } else {
      base = mapped
    }
    let address = UInt(bitPattern: base)
    AlignedMemory.live.change { $0[address] = wanted }
  }

  private let mappedBase: UnsafeMutableRawPointer

  deinit {
    let address = UInt(bitPattern: base)
    AlignedMemory.live.change { $0[address] = nil }
    munmap(mappedBase, mappedByteCount)
  }

  // MARK: What there is

  /// What the system can still give to this process beside what it has promised already.
  static var availableByteCount: Int {
    let limits = MemoryLimits()
    // Promises have their addresses already.
    return max(0, min(limits.physicalByteCount - promisedByteCount, limits.addressByteCount - headroomByteCount))
  }

  /// Room for what libgomp allocates as it starts threads: it ends the process where it gets none.
  private static let headroomByteCount = 64 << 20

  /// Checks that there is that room, by taking it for a moment.
  static func checkHeadroom() throws(ExecutionError) {
    guard let probe = mmap(nil, headroomByteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      probe != MAP_FAILED
    else { throw .allocationRefused(byteCount: headroomByteCount) }
    munmap(probe, headroomByteCount)
  }

  /// The size of each mapping by its address.
  private static let live = Monitor<[UInt: Int]>([:])

  /// What is mapped and was never touched: the system does not know yet that it will be wanted.
  private static var promisedByteCount: Int {
    live.change { live in
      live.reduce(0) { sum, memory in
        let pages = memory.value.rounded(up: pageByteCount) / pageByteCount
        var resident = [UInt8](repeating: 0, count: pages)
        guard mincore(UnsafeMutableRawPointer(bitPattern: memory.key), pages * pageByteCount, &resident) == 0 else {
          return sum
        }
        return sum + resident.reduce(0) { $0 + ($1 & 1 == 0 ? pageByteCount : 0) }
      }
    }
  }

  private static let pageByteCount = sysconf(Int32(_SC_PAGESIZE))
}
