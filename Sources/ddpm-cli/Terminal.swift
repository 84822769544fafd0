import Files
import Platform

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Lines that stay, and one at the bottom that is rewritten in place where a person watches.
final class Terminal {
  let isInteractive: Bool
  private let descriptor: Int32
  private let isQuiet: Bool
  /// Whether objects are written for programs, in place of lines for people.
  let talksJSON: Bool
  private var isLive = false
  private var lastLive = 0.0
  private(set) lazy var drawsSixels = askForSixels()
  /// Why some of what was said could not be written.
  nonisolated(unsafe) private(set) static var failure: FileError?

  init(descriptor: Int32 = 1, isQuiet: Bool = false, talksJSON: Bool = false) {
    self.descriptor = descriptor
    self.isQuiet = isQuiet
    self.talksJSON = talksJSON
    isInteractive = isatty(descriptor) == 1 && !talksJSON
  }

  /// What a program is told, as one line of JSON; nothing where people are.
  func tell(_ event: String, _ fields: @autoclosure () -> [String: JSONValue]) {
    guard talksJSON, !isQuiet else { return }
    write(JSONValue.object(fields().merging(["event": .string(event)]) { first, _ in first }).compactText + "\n")
  }

  /// A line that stays. Whatever names are in it, it does not speak to the terminal.
  func print(_ line: String) {
    guard !talksJSON, !isQuiet else { return }
    write((isLive ? "\r\u{1B}[K" : "") + line.inPlainSight + "\n")
    isLive = false
  }

  /// Text that does speak to the terminal: colours and pictures.
  func draw(_ text: String) {
    guard !talksJSON, !isQuiet else { return }
    end()
    write(text + "\n")
  }

  /// Says that a file was written.
  func wrote(_ path: String, _ more: String = "") {
    print("wrote \(path)\(more)")
    tell("wrote", ["path": .string(path)])
  }

  /// Rewrites the live line, ten times a second at most, cut to the terminal's width.
  ///
  /// - Parameters:
  ///   - log: where no terminal is, this line instead, every half minute; nil for none.
  ///   - fields: what programs are told instead, once a second.
  func live(
    _ line: @autoclosure () -> String, log: @autoclosure () -> String? = nil,
    fields: @autoclosure () -> [String: JSONValue]? = nil
  ) {
    guard !isQuiet else { return }
    let now = ProcessInfo.processInfo.systemUptime
    if talksJSON {
      guard now - lastLive >= 1, let fields = fields() else { return }
      lastLive = now
      return tell("progress", fields)
    }
    guard isInteractive else {
      if lastLive == 0 { lastLive = now }
      guard now - lastLive >= 30, let text = log() else { return }
      lastLive = now
      return print(text)
    }
    guard now - lastLive >= 0.1 else { return }
    lastLive = now
    isLive = true
    write("\r\u{1B}[K" + line().inPlainSight.prefix(width - 1))
  }

  /// Columns of the terminal; 80 where it does not say.
  var width: Int {
    var size = winsize()
    return ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 1 ? Int(size.ws_col) : 80
  }

  /// Ends the live line, so that what follows starts on a new one.
  func end() {
    if isLive { write("\n") }
    isLive = false
  }

  private func write(_ text: String) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { systemWrite(descriptor, $0.baseAddress, $0.count) }
      guard written > 0 else {
        if errno == EINTR { continue }
        // A closed pipe ends the talking, not the training; a full disk is told at the end.
        if errno != EPIPE { Self.failure = FileError(verb: "write", path: "standard output", code: errno) }
        return
      }
      rest = rest.dropFirst(written)
    }
  }

  /// A line on standard error; the first rank's, since what the others would say is the same.
  static func complain(_ line: String, byAnyRank: Bool = false) {
    guard byAnyRank || Launch.ranks.isFirst else { return }
    let bytes = Array((line.inPlainSight + "\n").utf8)
    _ = bytes.withUnsafeBytes { systemWrite(2, $0.baseAddress, $0.count) }
  }
}

/// How long some work will still take, at the speed that it had so far.
struct Countdown {
  private let start = ProcessInfo.processInfo.systemUptime

  /// Seconds since it was made.
  var elapsed: Double { ProcessInfo.processInfo.systemUptime - start }

  /// The seconds left after `done` of `total` parts.
  func left(after done: Int, of total: Int) -> Double { elapsed / Double(done) * Double(total - done) }
}

/// The memory that this process occupies now.
func residentBytes() -> Int {
  guard let descriptor = fopen("/proc/self/statm", "r") else { return 0 }
  defer { fclose(descriptor) }
  var line = [CChar](repeating: 0, count: 256)
  guard fgets(&line, 256, descriptor) != nil else { return 0 }
  // The second number counts resident pages.
  let words = String(untilZero: line).split(separator: " ")
  return words.count > 1 ? (Int(words[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
}
