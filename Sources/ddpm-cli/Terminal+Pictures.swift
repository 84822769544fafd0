import Pictures
import Platform

extension Terminal {
  /// Draws a picture: in sixels where the terminal has them, in characters elsewhere.
  func draw(_ picture: Image8) {
    if drawsSixels { return draw(picture.magnified(by: max(1, 8 * width / max(1, picture.width))).sixels) }
    let colours = isInteractive ? TerminalPicture.Colours.ofEnvironment : .none
    for line in TerminalPicture(colours: colours).lines(picture, width: width - 1) { draw(line) }
  }

  /// Whether the terminal says that it has sixels, attribute 4 of its device attributes.
  func askForSixels() -> Bool {
    // Who asks from the background is stopped.
    guard isInteractive, TerminalPicture.Colours.ofEnvironment != .none, tcgetpgrp(0) == getpgrp() else { return false }
    var before = termios()
    guard tcgetattr(0, &before) == 0 else { return false }
    var unbuffered = before
    unbuffered.c_lflag &= ~tcflag_t(ICANON | ECHO)
    // Bytes as they come, of which the first must within a fifth of a second.
    withUnsafeMutableBytes(of: &unbuffered.c_cc) { ($0[Int(VMIN)], $0[Int(VTIME)]) = (0, 2) }
    guard tcsetattr(0, TCSANOW, &unbuffered) == 0 else { return false }
    defer { tcsetattr(0, TCSANOW, &before) }
    _ = systemWrite(0, "\u{1B}[c", 3)
    var answer: [UInt8] = []
    var byte: UInt8 = 0
    while answer.count < 64, answer.last != UInt8(ascii: "c"), systemRead(0, &byte, 1) == 1 { answer.append(byte) }
    return Self.attributes(of: String(decoding: answer, as: UTF8.self)).contains("4")
  }

  /// Of `ESC [ ? 62 ; 4 c`: 62 and 4.
  private static func attributes(of answer: String) -> [Substring] {
    guard answer.hasPrefix("\u{1B}[?"), answer.hasSuffix("c") else { return [] }
    return answer.dropFirst(3).dropLast().split(separator: ";")
  }
}
