import Files

/// Points as text: a row a line, numbers with commas, semicolons, tabs or spaces between; a first line of names is allowed, and a column
/// that it calls `label` or `class` holds classes. Empty lines and lines that begin with # are passed over.
package enum PointTable {
  package static func points(_ bytes: [UInt8], name: String) throws(DataError) -> StoredPoints {
    var values: [Double] = []
    var labels: [String] = []
    var labelColumn: Int?
    var width: Int?
    for (number, line) in bytes.split(separator: 10, omittingEmptySubsequences: false).enumerated() {
      let text = String(decoding: line, as: UTF8.self)
      let fields = fields(number == 0 && text.hasPrefix("\u{FEFF}") ? text.dropFirst() : text[...])
      guard let first = fields.first, !first.hasPrefix("#") else { continue }
      let row = number + 1
      if width == nil {
        width = fields.count
        if !fields.contains(where: { Double($0) != nil }) {
          labelColumn = fields.firstIndex { ["label", "class"].contains($0.lowercased()) }
          continue
        }
      }
      guard fields.count == width else {
        throw DataError(
          .corrupt, file: name, "row \(row) has \(fields.count) fields, the first \(width ?? 0)",
          remedy: "give every row the same")
      }
      for (column, field) in fields.enumerated() {
        if column == labelColumn {
          labels.append(field)
          continue
        }
        guard let value = Double(field), abs(value) < 1e30 else {
          throw DataError(
            .corrupt, file: name, "row \(row), column \(column + 1) is '\(field.prefix(40))', no finite number",
            remedy: "give numbers; name a column of classes 'label' in a first line")
        }
        values.append(value)
      }
    }
    let dimension = (width ?? 0) - (labelColumn == nil ? 0 : 1)
    guard dimension > 0, !values.isEmpty else {
      throw DataError(
        .empty, file: name, "holds no points", remedy: "give one point a line, its numbers with commas between")
    }
    return StoredPoints(values, dimension: dimension, labels: labels)
  }

  /// Commas, semicolons and tabs stand between fields, which may then be empty; otherwise blanks do.
  private static func fields(_ line: Substring) -> [String] {
    let isBlank = { (c: Character) in c == " " || c == "\r" || c == "\t" }
    let trimmed = { (text: Substring) in
      let start = text.drop(while: isBlank)
      return String(start.reversed().drop(while: isBlank).reversed())
    }
    let line = Substring(trimmed(line))
    if line.isEmpty { return [] }
    for separator in [",", ";"] as [Character] where line.contains(separator) {
      return line.split(separator: separator, omittingEmptySubsequences: false).map(trimmed)
    }
    return line.split(whereSeparator: isBlank).map(String.init)
  }
}
