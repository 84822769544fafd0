#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The system's `write`, which the methods below would hide.
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
  write(descriptor, bytes, count)
}

/// Lines that stay, and one at the bottom that is rewritten in place where a person watches.
final class Terminal {
  let isInteractive = isatty(1) == 1
  private var isLive = false
  private var lastLive = 0.0

  /// A line that stays.
  func print(_ line: String) {
    write((isLive ? "\r\u{1B}[K" : "") + line + "\n")
    isLive = false
  }

  /// Rewrites the live line, ten times a second at most; nothing where no terminal is.
  func live(_ line: @autoclosure () -> String, always: Bool = false) {
    guard isInteractive else { return }
    let now = ProcessInfo.processInfo.systemUptime
    guard always || now - lastLive >= 0.1 else { return }
    lastLive = now
    isLive = true
    write("\r\u{1B}[K" + line())
  }

  /// Ends the live line, so that what follows starts on a new one.
  func end() {
    if isLive { write("\n") }
    isLive = false
  }

  private func write(_ text: String) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { systemWrite(1, $0.baseAddress, $0.count) }
      // A closed pipe ends the talking, not the training.
      guard written > 0 else { return }
      rest = rest.dropFirst(written)
    }
  }

  /// A line on standard error.
  static func complain(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = bytes.withUnsafeBytes { systemWrite(2, $0.baseAddress, $0.count) }
  }
}

/// Numbers as people read them.
enum Text {
  /// `1:02:03`, `2:03` or `3 s`.
  static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1e9 else { return "?" }
    let whole = Int(seconds.rounded())
    if whole < 60 { return "\(whole) s" }
    let (minutes, rest) = whole.quotientAndRemainder(dividingBy: 60)
    if minutes < 60 { return "\(minutes):\(two(rest))" }
    return "\(minutes / 60):\(two(minutes % 60)):\(two(rest))"
  }

  private static func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }

  /// So many digits after the point.
  static func fixed(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite, abs(value) < 1e12 else { return "\(value)" }
    let scale = (0..<digits).reduce(1) { product, _ in product * 10 }
    let scaled = Int((abs(value) * Double(scale)).rounded())
    let fraction = String(scaled % scale)
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard digits > 0 else { return "\(sign)\(scaled)" }
    return "\(sign)\(scaled / scale)." + String(repeating: "0", count: digits - fraction.count) + fraction
  }

  /// Three digits that matter: 412, 41.2, 4.12.
  static func short(_ value: Double) -> String {
    fixed(value, abs(value) >= 100 ? 0 : abs(value) >= 10 ? 1 : 2)
  }

  static func mebibytes(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20) MiB" }

  /// 35,746,307
  static func grouped(_ value: Int) -> String {
    let digits = Array(String(abs(value)))
    var text = ""
    for (i, digit) in digits.enumerated() {
      if i > 0, (digits.count - i) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return (value < 0 ? "-" : "") + text
  }
}

/// The memory that this process occupies now.
func residentBytes() -> Int {
  guard let descriptor = fopen("/proc/self/statm", "r") else { return 0 }
  defer { fclose(descriptor) }
  var line = [CChar](repeating: 0, count: 256)
  guard fgets(&line, 256, descriptor) != nil else { return 0 }
  // The second number counts resident pages.
  let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(
    separator: " ")
  return words.count > 1 ? (Int(words[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
}
