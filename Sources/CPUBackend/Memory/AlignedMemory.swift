import Glibc
import Synchronization
import TensorGraph

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
    else { throw .outOfMemory(needed: byteCount, available: AlignedMemory.availableByteCount) }
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
    AlignedMemory.live.withLock { $0[address] = wanted }
  }

  private let mappedBase: UnsafeMutableRawPointer

  deinit {
    let address = UInt(bitPattern: base)
    AlignedMemory.live.withLock { $0[address] = nil }
    munmap(mappedBase, mappedByteCount)
  }

  // MARK: What there is

  /// What the system can still give to this process beside what it has promised already: the machine's memory, or its control
  /// group's share of it.
  static var availableByteCount: Int {
    let machine = field("MemAvailable:", in: "/proc/meminfo").map { $0 << 10 } ?? Int.max
    guard let limit = number(in: "/sys/fs/cgroup/memory.max"), let used = number(in: "/sys/fs/cgroup/memory.current")
    else { return max(0, machine - promisedByteCount) }
    return max(0, min(machine, limit - used) - promisedByteCount)
  }

  /// The size of each mapping by its address.
  private static let live = Mutex<[UInt: Int]>([:])

  /// What is mapped and was never touched: the system does not know yet that it will be wanted.
  private static var promisedByteCount: Int {
    live.withLock { live in
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

  private static func contents(_ path: String) -> String? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes.prefix(count), as: UTF8.self)
  }

  private static func number(in path: String) -> Int? {
    contents(path).flatMap { text in Int(text.prefix { $0.isNumber }) }
  }

  private static func field(_ name: String, in path: String) -> Int? {
    contents(path)?.split(separator: "\n").first { $0.hasPrefix(name) }
      .flatMap { line in Int(line.dropFirst(name.count).drop { $0 == " " }.prefix { $0.isNumber }) }
  }
}
