import Glibc
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
  }

  private let mappedBase: UnsafeMutableRawPointer

  deinit { munmap(mappedBase, mappedByteCount) }

  /// What the system can still give to this process: the machine's memory, or its control group's share of it.
  static var availableByteCount: Int {
    let machine = field("MemAvailable:", in: "/proc/meminfo").map { $0 << 10 } ?? Int.max
    guard let limit = number(in: "/sys/fs/cgroup/memory.max"), let used = number(in: "/sys/fs/cgroup/memory.current")
    else { return machine }
    return min(machine, max(0, limit - used))
  }

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
