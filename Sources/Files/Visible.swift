extension String {
  /// On one line and in plain sight: control, escape and direction characters are spelled as Swift does (`\n`, `\u{1b}`).
  ///
  /// Names come from archives, headers and configurations too: they must neither speak to a terminal nor turn its text around.
  package var onOneLine: String { shown(limit: 4096) }

  /// The same of a line that is as long as it is.
  package var inPlainSight: String { shown(limit: .max) }

  /// So with at most `limit` characters; `…` stands for the rest.
  fileprivate func shown(limit: Int) -> String {
    var text = String.UnicodeScalarView()
    var count = 0
    for scalar in unicodeScalars {
      if count == limit { return String(text) + "…" }
      count += 1
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator: text += scalar.spelled.unicodeScalars
      default: text.append(scalar)
      }
    }
    return String(text)
  }
}

extension Unicode.Scalar {
  fileprivate var spelled: String {
    switch self {
    case "\n": "\\n"
    case "\r": "\\r"
    case "\t": "\\t"
    default: "\\u{\(String(value, radix: 16))}"
    }
  }
}

/// `text` between quotes, short and on one line, whatever it holds.
package func quoted(_ text: String) -> String { "'\(text.shown(limit: 80))'" }

/// The first few names, and how many more there are.
package func list(_ names: [String], limit: Int = 8) -> String {
  if names.isEmpty { return "nothing" }
  let shown = names.prefix(limit).map { $0.shown(limit: 80) }.joined(separator: ", ")
  return names.count > limit ? "\(shown) and \(names.count - limit) more" : shown
}
