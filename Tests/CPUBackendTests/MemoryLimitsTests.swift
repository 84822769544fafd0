import CPUBackend
import Foundation
import TestSupport
import Testing

/// What the process may take, read from files as Linux writes them.
@Suite struct MemoryLimitsTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var files: [String: String]
    var mebibytes: Int
  }

  private static let meminfo = "MemTotal:       16000000 kB\nMemFree:  10 kB\nMemAvailable:    4096000 kB\n"
  private static let second = "35 31 0:32 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
  private static func bytes(_ mebibytes: Int) -> String { "\(mebibytes << 20)\n" }

  static let cases = [
    Case(testDescription: "no groups", files: [:], mebibytes: 4000),
    Case(
      testDescription: "the tightest of nested slices, version 2",
      files: [
        "/proc/self/cgroup": "0::/user.slice/a b.slice/run.scope\n", "/proc/self/mountinfo": second,
        "/sys/fs/cgroup/user.slice/memory.max": bytes(1000), "/sys/fs/cgroup/user.slice/memory.current": bytes(900),
        "/sys/fs/cgroup/user.slice/memory.stat": "anon 5\nfile 7\ninactive_file \(50 << 20)\nactive_file 3\n",
        "/sys/fs/cgroup/user.slice/a b.slice/memory.max": bytes(2000),
        "/sys/fs/cgroup/user.slice/a b.slice/memory.current": bytes(10),
        "/sys/fs/cgroup/user.slice/a b.slice/run.scope/memory.max": "max\n",
        "/sys/fs/cgroup/user.slice/a b.slice/run.scope/memory.current": bytes(9),
      ], mebibytes: 150),
    Case(
      testDescription: "a container with a hierarchy of its own, version 2",
      files: [
        "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": second, "/sys/fs/cgroup/memory.max": bytes(512),
        "/sys/fs/cgroup/memory.current": bytes(500),
      ], mebibytes: 12),
    Case(
      testDescription: "version 1, beside a version 2 without memory",
      files: [
        "/proc/self/cgroup": "7:cpu,cpuacct:/x\n4:memory:/parent/child\n0::/\n",
        "/proc/self/mountinfo":
          "33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes": bytes(3000),
        "/sys/fs/cgroup/memory/parent/memory.limit_in_bytes": bytes(300),
        "/sys/fs/cgroup/memory/parent/memory.usage_in_bytes": bytes(100),
        "/sys/fs/cgroup/memory/parent/child/memory.limit_in_bytes": "9223372036854771712\n",
        "/sys/fs/cgroup/memory/parent/child/memory.usage_in_bytes": bytes(90),
      ], mebibytes: 200),
    Case(
      testDescription: "a container that sees its own group only, version 1",
      files: [
        "/proc/self/cgroup": "4:memory:/docker/abc/inner\n",
        "/proc/self/mountinfo": "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro shared:1 - cgroup cgroup rw,memory\n",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": bytes(1024),
        "/sys/fs/cgroup/memory/memory.usage_in_bytes": bytes(1000),
        "/sys/fs/cgroup/memory/memory.stat": "cache 1\ninactive_file 5\ntotal_inactive_file \(6 << 20)\n",
        "/sys/fs/cgroup/memory/inner/memory.limit_in_bytes": bytes(100),
        "/sys/fs/cgroup/memory/inner/memory.usage_in_bytes": bytes(1),
      ], mebibytes: 30),
    Case(
      testDescription: "groups outside of the container's sight",
      files: [
        "/proc/self/cgroup": "0::/../../elsewhere\n", "/proc/self/mountinfo": second,
        "/sys/fs/cgroup/memory.max": bytes(70), "/sys/fs/cgroup/memory.current": bytes(80),
      ], mebibytes: 0),
  ]

  @Test(arguments: cases) func groupsLimitWhatThereIs(_ test: Case) throws {
    try withTemporaryFolder { folder in
      try folder.write(["/proc/meminfo": Self.meminfo])
      try folder.write(test.files)
      #expect(MemoryLimits(root: folder.path).physicalByteCount >> 20 == test.mebibytes)
    }
  }

  /// A limit of 4 TiB more than is used hurts no other test meanwhile; under AddressSanitizer 20 TiB are.
  @Test func addressesAreLimited() throws {
    var before = rlimit()
    try #require(getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &before) == 0)
    defer { setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &before) }
    var limit = before
    let statm = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
    let used = try #require(statm.split(separator: " ").first.flatMap { Int($0) }) * sysconf(Int32(_SC_PAGESIZE))
    limit.rlim_cur = min(rlim_t(used + 1 << 42), before.rlim_max)
    try #require(setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0)
    let left = MemoryLimits().addressByteCount
    #expect(left > 0 && left < Int(limit.rlim_cur))
    try withTemporaryFolder { folder in
      let proc = folder.appending(path: "proc/self")
      try FileManager.default.createDirectory(at: proc, withIntermediateDirectories: true)
      try Data("1000 300 200 10 0 500 0\n".utf8).write(to: proc.appending(path: "statm"))
      let page = sysconf(Int32(_SC_PAGESIZE))
      #expect(MemoryLimits(root: folder.path).addressByteCount == Int(limit.rlim_cur) - 1000 * page)
    }
  }
}
