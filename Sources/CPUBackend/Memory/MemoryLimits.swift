import Platform

/// What this process may still take, as the files of `/proc` and of its control groups say.
package struct MemoryLimits {
  /// Where the files are; a test has its own.
  private let root: String

  package init(root: String = "") { self.root = root }

  /// What the machine can give, or the tightest of the process's control groups and their parents.
  package var physicalByteCount: Int {
    let machine = field("MemAvailable:", in: "/proc/meminfo").map { $0 << 10 } ?? Int.max
    return max(0, groups.reduce(machine) { min($0, $1) })
  }

  /// What the limits of the process leave of addresses (`ulimit -v`) and of private memory (`ulimit -d`).
  package var addressByteCount: Int {
    // In pages: all addresses … and, sixth, data and stack.
    let used = contents("/proc/self/statm")?.split(separator: " ").map { Int($0) ?? 0 } ?? []
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

  // MARK: Control groups

  /// What each group of the process, and each of their parents, leaves.
  private var groups: [Int] {
    let mounts = (contents("/proc/self/mountinfo") ?? "").split(separator: "\n").compactMap(Mount.init)
    return (contents("/proc/self/cgroup") ?? "").split(separator: "\n").flatMap { line -> [Int] in
      // hierarchy:controllers:path, where version 2 has no controllers.
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { return [] }
      let isSecond = parts[1].isEmpty
      guard isSecond || parts[1].split(separator: ",").contains("memory") else { return [] }
      return mounts.filter { $0.isSecond == isSecond }.flatMap { mount in
        mount.folders(of: String(parts[2])).compactMap { left(in: $0, isSecond) }
      }
    }
  }

  /// The group's limit less what it uses. Files that nobody has touched lately can be dropped for it.
  private func left(in folder: String, _ isSecond: Bool) -> Int? {
    let names =
      isSecond
      ? ("memory.max", "memory.current", "inactive_file ")
      : ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
    // `max` is no number: no limit.
    guard let limit = number(in: "\(folder)/\(names.0)"), let used = number(in: "\(folder)/\(names.1)") else {
      return nil
    }
    return limit - used + (field(names.2, in: "\(folder)/memory.stat") ?? 0)
  }

  /// Where a hierarchy of groups is seen.
  private struct Mount {
    var isSecond: Bool
    /// The group that is seen at `point`.
    var group: String
    var point: String

    /// A line of mountinfo: `id parent device group point options … - type source options`.
    init?(_ line: Substring) {
      let fields = line.split(separator: " ")
      guard let dash = fields.firstIndex(of: "-"), fields.count > max(dash + 3, 4) else { return nil }
      let type = fields[dash + 1]
      guard type == "cgroup2" || (type == "cgroup" && fields[dash + 3].split(separator: ",").contains("memory")) else {
        return nil
      }
      isSecond = type == "cgroup2"
      (group, point) = (String(fields[3]), String(fields[4]))
    }

    /// The folders of a group and of its parents, as far as they are seen here.
    func folders(of path: String) -> [String] {
      var folders = [point]
      let seen = group == "/" ? "" : group
      // A container may be told of groups outside of it, which are not seen: then its own is at the top.
      guard path.hasPrefix(seen) else { return folders }
      for name in path.dropFirst(seen.count).split(separator: "/") where name != ".." {
        folders.append("\(folders[folders.count - 1])/\(name)")
      }
      return folders
    }
  }

  // MARK: Files

  private func contents(_ path: String) -> String? {
    guard let file = fopen(root + path, "r") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 14)
    // Bounded, whatever the file is.
    while bytes.count < 1 << 22 {
      let count = fread(&chunk, 1, chunk.count, file)
      if count == 0 { break }
      bytes += chunk.prefix(count)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private func number(in path: String) -> Int? {
    contents(path).flatMap { text in
      let digits = text.prefix { $0.isNumber }
      // Beyond what an Int holds nothing limits.
      return digits.isEmpty ? nil : Int(digits) ?? Int.max
    }
  }

  private func field(_ name: String, in path: String) -> Int? {
    contents(path)?.split(separator: "\n").first { $0.hasPrefix(name) }
      .flatMap { line in Int(line.dropFirst(name.count).drop { $0 == " " }.prefix { $0.isNumber }) }
  }
}
