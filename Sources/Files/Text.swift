/// Numbers as people read them.
package enum Text {
  /// `1:02:03`, `2:03` or `3 s`.
  package static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1e9 else { return "?" }
    let whole = Int(seconds.rounded())
    if whole < 60 { return "\(whole) s" }
    let (minutes, rest) = whole.quotientAndRemainder(dividingBy: 60)
    if minutes < 60 { return "\(minutes):\(zeroPadded(rest, 2))" }
    return "\(minutes / 60):\(zeroPadded(minutes % 60, 2)):\(zeroPadded(rest, 2))"
  }

  /// So many digits after the point.
  package static func fixed(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite, abs(value) < 1e12 else { return "\(value)" }
    let scale = (0..<digits).reduce(1) { product, _ in product * 10 }
    let scaled = Int((abs(value) * Double(scale)).rounded())
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard digits > 0 else { return "\(sign)\(scaled)" }
    return "\(sign)\(scaled / scale)." + zeroPadded(scaled % scale, digits)
  }

  /// Three digits that matter: 412, 41.2, 4.12.
  package static func short(_ value: Double) -> String {
    fixed(value, abs(value) >= 100 ? 0 : abs(value) >= 10 ? 1 : 2)
  }

  /// Rounded up: 205 MiB.
  package static func mebibytes(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20) MiB" }

  /// 35,746,307
  package static func grouped(_ value: Int) -> String {
    let digits = Array(String(abs(value)))
    var text = ""
    for (i, digit) in digits.enumerated() {
      if i > 0, (digits.count - i) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return (value < 0 ? "-" : "") + text
  }

  /// At least so many digits: 00042.
  package static func zeroPadded(_ value: Int, _ digits: Int) -> String {
    flushRight(String(value), digits, filler: "0")
  }

  /// At least so many characters, spaces last.
  package static func flushLeft(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  /// At least so many characters, the filler first.
  package static func flushRight(_ text: String, _ width: Int, filler: Character = " ") -> String {
    String(repeating: filler, count: max(0, width - text.count)) + text
  }
}
