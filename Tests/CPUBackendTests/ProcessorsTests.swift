import Foundation
import Platform
import TestSupport
import Testing

@testable import Threads

/// How many processors a process counts as its own.
@Suite struct ProcessorsTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var files: [String: String]
    var quota: Int?
  }

  private static let second = "35 31 0:32 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
  private static let first = "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"

  static let cases = [
    Case(testDescription: "no groups", files: [:], quota: nil),
    Case(
      testDescription: "no limit, version 2",
      files: [
        "/proc/self/cgroup": "0::/a\n", "/proc/self/mountinfo": second, "/sys/fs/cgroup/a/cpu.max": "max 100000\n",
      ],
      quota: nil),
    Case(
      testDescription: "a container of two and a half, version 2",
      files: [
        "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": second, "/sys/fs/cgroup/cpu.max": "250000 100000\n",
      ],
      quota: 3),
    Case(
      testDescription: "a parent's is less, version 2",
      files: [
        "/proc/self/cgroup": "0::/a/b\n", "/proc/self/mountinfo": second,
        "/sys/fs/cgroup/a/b/cpu.max": "800000 100000\n",
        "/sys/fs/cgroup/a/cpu.max": "100000 50000\n",
      ], quota: 2),
    Case(
      testDescription: "a tenth of one",
      files: [
        "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": second, "/sys/fs/cgroup/cpu.max": "10000 100000\n",
      ],
      quota: 1),
    Case(
      testDescription: "four, version 1",
      files: [
        "/proc/self/cgroup": "7:cpu,cpuacct:/x\n4:memory:/y\n", "/proc/self/mountinfo": first,
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "400000\n",
        "/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
      ], quota: 4),
    Case(
      testDescription: "nonsense",
      files: ["/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": second, "/sys/fs/cgroup/cpu.max": "5 0 7\n"],
      quota: nil),
  ]

  @Test(arguments: cases) func quotasOfTimeLimit(_ test: Case) throws {
    try withTemporaryFolder { folder in
      try folder.write(test.files)
      let processors = Processors(root: folder.path)
      #expect(processors.quota == test.quota)
      #expect(processors.count >= 1 && processors.count <= test.quota ?? .max)
    }
  }

  @Test func countsThoseItIsBoundTo() throws {
    for (mask, count) in [("3", 2), ("ff00,00000001", 9), ("00000000,00000000", 1)] {
      try withTemporaryFolder { folder in
        try folder.write(["/proc/self/status": "Name:\tddpm\nCpus_allowed:\t\(mask)\nCpus_allowed_list:\t0-1\n"])
        #expect(Processors(root: folder.path).count == count)
      }
    }
  }

  #if os(Linux)
    /// Another process, which `taskset` binds to one processor, says so itself.
    @Test func countsWhatTasksetLeaves() throws {
      let allowed = try String(contentsOfFile: "/proc/self/status", encoding: .utf8).split(separator: "\n")
      let list = try #require(allowed.first { $0.hasPrefix("Cpus_allowed_list:") }).drop { !$0.isNumber }
      let first = list.prefix { $0.isNumber }
      try withTemporaryFolder { folder in
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["taskset", "-c", String(first), "cat", "/proc/self/status"]
        process.standardOutput = output
        try process.run()
        let status = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
        try folder.write(["/proc/self/status": String(decoding: status, as: UTF8.self)])
        #expect(Processors(root: folder.path).count == 1)
      }
      #expect(Processors.count <= sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    }
  #endif
}
