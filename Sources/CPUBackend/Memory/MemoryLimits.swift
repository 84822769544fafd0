import Platform

/// What this process may still take, as the files of `/proc` and of its control groups say.
package struct MemoryLimits {
  private let groups: ControlGroups

  package init(root: String = "") { groups = ControlGroups(root: root) }

  /// What the machine can give, or the tightest of the process's control groups and their parents.
  package var physicalByteCount: Int {
    let machine = groups.field("MemAvailable:", in: "/proc/meminfo").map { $0 << 10 } ?? Int.max
    return max(0, groups.folders(of: "memory").compactMap(left).reduce(machine, min))
  }

  /// What the limits of the process leave of addresses (`ulimit -v`) and of private memory (`ulimit -d`).
  package var addressByteCount: Int {
    // In pages: all addresses … and, sixth, data and stack.
    let used = groups.contents("/proc/self/statm")?.split(separator: " ").map { Int($0) ?? 0 } ?? []
    let page = sysconf(Int32(_SC_PAGESIZE))
    return [(RLIMIT_AS, 0), (RLIMIT_DATA, 5)].reduce(Int.max) { least, limit in
      var value = rlimit()
      guard getrlimit(__rlimit_resource_t(limit.0.rawValue), &value) == 0, value.rlim_cur < rlim_t(Int.max),
        limit.1 < used.count
      else {
        return least
      }
      return min(least, max(0, Int(value.rlim_cur) - used[limit.1] * page))
    }
  }

  /// The group's limit less what it uses. Files that nobody has touched lately can be dropped for it.
  private func left(in folder: ControlGroups.Folder) -> Int? {
    let names =
      folder.isSecond
      ? ("memory.max", "memory.current", "inactive_file ")
      : ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
    guard let limit = groups.number(in: "\(folder.path)/\(names.0)"),
      let used = groups.number(in: "\(folder.path)/\(names.1)")
    else { return nil }
    return limit - used + (groups.field(names.2, in: "\(folder.path)/memory.stat") ?? 0)
  }
}
