/// What Linux says of this process in files: its control groups and their parents, whose limits containers and services set, and `/proc`.
package struct ControlGroups {
  /// Where the files are; a test has its own.
  private let root: String

  package init(root: String = "") { self.root = root }

  /// A group's folder, in the hierarchy of version 1 or 2.
  package struct Folder {
    package var path: String
    package var isSecond: Bool
  }

  /// Each group of the process, and each of their parents, that has to do with `controller`.
  package func folders(of controller: String) -> [Folder] {
    let mounts = (contents("/proc/self/mountinfo") ?? "").split(separator: "\n").compactMap {
      Mount($0, of: controller)
    }
    return (contents("/proc/self/cgroup") ?? "").split(separator: "\n").flatMap { line -> [Folder] in
      // hierarchy:controllers:path, where version 2 has no controllers.
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { return [] }
      let isSecond = parts[1].isEmpty
      guard isSecond || parts[1].split(separator: ",").contains(Substring(controller)) else { return [] }
      return mounts.filter { $0.isSecond == isSecond }.flatMap { mount in
        mount.folders(of: String(parts[2])).map { Folder(path: $0, isSecond: isSecond) }
      }
    }
  }

  /// Where a hierarchy of groups is seen.
  private struct Mount {
    var isSecond: Bool
    /// The group that is seen at `point`.
    var group: String
    var point: String

    /// A line of mountinfo: `id parent device group point options … - type source options`.
    init?(_ line: Substring, of controller: String) {
      let fields = line.split(separator: " ")
      guard let dash = fields.firstIndex(of: "-"), fields.count > max(dash + 3, 4) else { return nil }
      let type = fields[dash + 1]
      let isFirst = type == "cgroup" && fields[dash + 3].split(separator: ",").contains(Substring(controller))
      guard type == "cgroup2" || isFirst else { return nil }
      isSecond = !isFirst
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

  package func contents(_ path: String) -> String? {
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

  /// The number that a file begins with; nil where it begins with none, as `max`, which limits nothing, and `-1`, do not.
  package func number(in path: String) -> Int? { contents(path).flatMap { Self.number($0[...]) } }

  /// The number after `name` and spaces at the start of a line.
  package func field(_ name: String, in path: String) -> Int? {
    contents(path)?.split(separator: "\n").first { $0.hasPrefix(name) }
      .flatMap { Self.number($0.dropFirst(name.count).drop { $0 == " " }) }
  }

  /// Beyond what an Int holds nothing limits.
  package static func number(_ text: Substring) -> Int? {
    let digits = text.prefix { $0.isNumber }
    return digits.isEmpty ? nil : Int(digits) ?? Int.max
  }
}
