import Files
import Platform
import Testing

@Suite struct TextTests {
  @Test(arguments: [("host\0rest", "host"), ("käse", "käse"), ("\0", ""), ("", "")])
  func whatCWroteEndsAtZero(bytes: String, text: String) {
    #expect(String(untilZero: bytes.utf8.map { CChar(bitPattern: $0) }) == text)
    #expect(String(untilZero: [97, CChar(bitPattern: 0xE9), 0]) == "a\u{FFFD}")
  }

  @Test(arguments: [
    (0.4, "0 s"), (59.4, "59 s"), (59.6, "1:00"), (125, "2:05"), (3600, "1:00:00"), (36_065, "10:01:05"),
    (.infinity, "?"),
    (.nan, "?"),
  ]) func durations(seconds: Double, text: String) { #expect(Text.duration(seconds) == text) }

  @Test(arguments: [
    (3.14159, 2, "3.14"), (2.05, 3, "2.050"), (-0.004, 2, "0.00"), (-1.5, 1, "-1.5"), (0.996, 2, "1.00"),
    (41.6, 0, "42"),
    (.infinity, 2, "inf"),
  ]) func fixedDigits(value: Double, digits: Int, text: String) { #expect(Text.fixed(value, digits) == text) }

  @Test(arguments: [(412.3, "412"), (41.23, "41.2"), (4.123, "4.12"), (0.041, "0.04")])
  func threeDigits(value: Double, text: String) { #expect(Text.short(value) == text) }

  @Test(arguments: [(0, "0"), (999, "999"), (1000, "1,000"), (35_746_307, "35,746,307"), (-12_345, "-12,345")])
  func groups(value: Int, text: String) { #expect(Text.grouped(value) == text) }

  @Test func mebibytesRoundUp() {
    #expect(Text.mebibytes(1 << 20) == "1 MiB")
    #expect(Text.mebibytes((1 << 20) + 1) == "2 MiB")
  }

  @Test func padding() {
    #expect(Text.zeroPadded(42, 5) == "00042")
    #expect(Text.zeroPadded(123_456, 5) == "123456")
    #expect(Text.flushLeft("ᾱ", 3) == "ᾱ  ")
    #expect(Text.flushRight("ᾱ", 3) == "  ᾱ")
  }
}
