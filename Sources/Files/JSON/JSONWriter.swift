extension JSONValue {
  /// The text that Python's `json.dumps(value, indent=2, sort_keys=True)` gives, and a newline: diffusers' form.
  public var canonicalText: String {
    var text = ""
    write(to: &text, indent: 0)
    return text + "\n"
  }

  /// The text on one line without spaces, keys sorted, characters beyond ASCII as they are: for headers and log lines.
  public var compactText: String {
    var text = ""
    write(to: &text, indent: nil)
    return text
  }

  /// - Parameter indent: Spaces before the closing bracket of this value, or nil for the compact form.
  private func write(to text: inout String, indent: Int?) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .integer(let value): text += String(value)
    case .number(let value): text += pythonRepr(value)
    case .string(let value): text += escaped(value, asASCII: indent != nil)
    case .array(let elements):
      write(elements, between: ("[", "]"), to: &text, indent: indent) { element, text, inner in
        element.write(to: &text, indent: inner)
      }
    case .object(let members):
      // Python sorts by code point; Swift's < would compare normal forms.
      let sorted = members.sorted { $0.key.unicodeScalars.lexicographicallyPrecedes($1.key.unicodeScalars) }
      write(sorted, between: ("{", "}"), to: &text, indent: indent) { member, text, inner in
        text += escaped(member.key, asASCII: inner != nil) + (inner == nil ? ":" : ": ")
        member.value.write(to: &text, indent: inner)
      }
    }
  }

  private func write<Element>(
    _ elements: [Element], between brackets: (String, String), to text: inout String, indent: Int?,
    writeElement: (Element, inout String, Int?) -> Void
  ) {
    text += brackets.0
    if !elements.isEmpty {
      let inner = indent.map { $0 + 2 }
      for (index, element) in elements.enumerated() {
        if index > 0 { text += "," }
        if let inner { text += "\n" + String(repeating: " ", count: inner) }
        writeElement(element, &text, inner)
      }
      if let indent { text += "\n" + String(repeating: " ", count: indent) }
    }
    text += brackets.1
  }
}

/// A JSON string with its quotes; characters beyond ASCII become `\uXXXX` where asked, as Python does by default.
private func escaped(_ string: String, asASCII: Bool) -> String {
  var text = "\""
  for scalar in string.unicodeScalars {
    switch scalar {
    case "\"": text += "\\\""
    case "\\": text += "\\\\"
    case "\n": text += "\\n"
    case "\r": text += "\\r"
    case "\t": text += "\\t"
    case "\u{8}": text += "\\b"
    case "\u{c}": text += "\\f"
    case _ where scalar.value < 0x20 || (asASCII && scalar.value > 0x7E):
      for unit in String(scalar).utf16 {
        let hex = String(unit, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      }
    default: text.unicodeScalars.append(scalar)
    }
  }
  return text + "\""
}

/// The shortest text that reads back as `value`, laid out as Python's `repr` does: 1e-06, 0.0001, 0.02, 1.0, 1e+16.
package func pythonRepr(_ value: Double) -> String {
  if value.isNaN { return "NaN" }
  if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
  if value == 0 { return value.sign == .minus ? "-0.0" : "0.0" }

  // Swift gives the same shortest digits but changes to exponents elsewhere: take digits and point apart.
  let parts = value.magnitude.description.split(separator: "e")
  let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
  let fraction = mantissa.count > 1 ? mantissa[1] : ""
  let all = mantissa[0] + fraction
  let digits = all.drop { $0 == "0" }
  let significant = String(digits.reversed().drop { $0 == "0" }.reversed())
  // value = 0.significant × 10^point
  let exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
  let point = mantissa[0].count - (all.count - digits.count) + exponent

  let sign = value < 0 ? "-" : ""
  switch point {
  case -3...0: return sign + "0." + String(repeating: "0", count: -point) + significant
  case 1...16 where significant.count <= point:
    return sign + significant + String(repeating: "0", count: point - significant.count) + ".0"
  case 1...16: return sign + significant.prefix(point) + "." + significant.dropFirst(point)
  default:
    let power = point - 1
    let tail = significant.dropFirst()
    let magnitude = power.magnitude < 10 ? "0\(power.magnitude)" : "\(power.magnitude)"
    return sign + significant.prefix(1) + (tail.isEmpty ? "" : ".") + tail + "e" + (power < 0 ? "-" : "+") + magnitude
  }
}
