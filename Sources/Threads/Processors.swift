import Platform

/// The processors that this process may use: not those of the machine, where it is bound to some (`taskset`, a container's set of processors) or has
/// a share of their time (a container's quota). More threads than that wait for each other at every operator.
package struct Processors {
  private let groups: ControlGroups

  package init(root: String = "") { groups = ControlGroups(root: root) }

  /// As many as this process was granted when it was asked first; at least 1.
  package static let count = Processors().count
  /// What was granted of their time, likewise.
  package static let quota = Processors().quota

  /// At least 1; a part of a processor's time counts as one.
  package var count: Int { max(1, min(bound, quota ?? Int.max)) }

  /// Those that the scheduler may put this process on; without Linux's files, those at work.
  private var bound: Int {
    let name = "Cpus_allowed:"
    // Words of 32 processors, in hexadecimal.
    let masks = groups.contents("/proc/self/status")?.split(separator: "\n").first { $0.hasPrefix(name) }?
      .dropFirst(name.count).split { $0 == "," || $0.isWhitespace }.map { UInt32($0, radix: 16) }
    return masks?.reduce(0) { $0 + ($1?.nonzeroBitCount ?? 0) } ?? sysconf(Int32(_SC_NPROCESSORS_ONLN))
  }

  /// The least of what the process's control groups and their parents grant; nil where none limits it.
  var quota: Int? {
    groups.folders(of: "cpu").compactMap { folder -> Int? in
      let grant: (quota: Int, period: Int)?
      if folder.isSecond {
        // `max 100000`, or microseconds in so many.
        let words = groups.contents("\(folder.path)/cpu.max")?.split(whereSeparator: \.isWhitespace) ?? []
        let numbers = words.compactMap(ControlGroups.number)
        grant = numbers.count == 2 ? (numbers[0], numbers[1]) : nil
      } else {
        let quota = groups.number(in: "\(folder.path)/cpu.cfs_quota_us")
        let period = groups.number(in: "\(folder.path)/cpu.cfs_period_us")
        grant = quota.flatMap { quota in period.map { (quota, $0) } }
      }
      guard let (quota, period) = grant, period > 0 else { return nil }
      return quota / period + (quota % period > 0 ? 1 : 0)
    }.min()
  }
}
