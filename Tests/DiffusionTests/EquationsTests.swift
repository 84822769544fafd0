import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Keeps `docs/equations.md` and `docs/notation.md` in step with the code: the lines, symbols and tests they name exist.
@Suite struct EquationsTests {
  struct Entry {
    var title: String
    var math = 0
    var lines: [String] = []
    var symbols: [String] = []
    var tests: [String] = []
  }

  private static let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  private static func text(_ path: String) throws -> String {
    String(decoding: try Data(contentsOf: package.appending(path: path)), as: UTF8.self)
  }

  /// Every Swift file in a folder, by name.
  private static func files(in folder: String) throws -> [String: Source] {
    let paths = try FileManager.default.subpathsOfDirectory(atPath: package.appending(path: folder).path)
    return try Dictionary(
      paths.filter { $0.hasSuffix(".swift") }.map { ($0, Source(try text("\(folder)/\($0)"))) },
      uniquingKeysWith: { a, _ in a }
    )
  }

  private static func codeSpans(_ line: Substring) -> [String] {
    line.split(separator: "`", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }
      .map { String($0.element) }
  }

  private static func entries(of document: String) throws -> [Entry] {
    var entries: [Entry] = []
    for line in try text(document).split(separator: "\n") {
      // Entries are numbered, `3a.` or `G1.`; other sections tell the story.
      if line.hasPrefix("## "), line.split(separator: " ")[1].hasSuffix(".") {
        entries.append(Entry(title: String(line.dropFirst(3))))
      }
      guard !entries.isEmpty else { continue }
      let last = entries.count - 1
      if line == "```math" { entries[last].math += 1 }
      // A quoted line may itself hold code marks: it runs from the first to the last.
      if line.hasPrefix("- Line: `") { entries[last].lines.append(String(line.dropFirst(9).dropLast())) }
      if line.hasPrefix("- Swift: ") { entries[last].symbols += codeSpans(line) }
      if line.hasPrefix("- Test: ") { entries[last].tests += codeSpans(line) }
    }
    return entries
  }

  /// A Swift file, read for what it declares and what it says.
  private struct Source {
    /// Names after `struct`, `func` and so on.
    var types: Set<Substring> = []
    var members: Set<Substring> = []
    let bytes: [UInt8]

    init(_ text: String) {
      bytes = Array(text.utf8)
      let types: Set<Substring> = ["struct", "enum", "class", "protocol", "extension"]
      let members: Set<Substring> = ["func", "var", "let", "case", "struct", "enum"]
      for line in text.split(separator: "\n") {
        let words = line.split(separator: " ")
        for (word, next) in zip(words, words.dropFirst()) {
          let name = next.prefix { !"(<:,{=".contains($0) }
          if types.contains(word) { self.types.insert(name) }
          if members.contains(word) { self.members.insert(name) }
        }
      }
    }

    /// Whether the file says `line`; in bytes, since the letters of mathematics make comparing characters slow.
    func says(_ line: String) -> Bool {
      let line = Array(line.utf8)
      guard let first = line.first, bytes.count >= line.count else { return false }
      return (0...bytes.count - line.count).contains { start in
        bytes[start] == first && bytes[start..<start + line.count].elementsEqual(line)
      }
    }

    /// Whether it declares a type or function, or a member beside its type.
    func declares(_ symbol: String) -> Bool {
      let parts = symbol.split(separator: ".")
      if parts.count == 1 { return types.contains(parts[0]) || members.contains(parts[0]) }
      return parts.count == 2 && types.contains(parts[0]) && members.contains(parts[1])
    }
  }

  @Test(arguments: [("docs/equations.md", 42), ("docs/thermodynamics.md", 18)])
  func everyEntryNamesWhatExists(_ document: String, _ count: Int) throws {
    let sources = try Self.files(in: "Sources")
    let tests = try Self.files(in: "Tests")
    let entries = try Self.entries(of: document)
    #expect(entries.count == count)
    for entry in entries {
      #expect(entry.math == 1, "\(entry.title): one equation")
      #expect(
        !entry.lines.isEmpty && !entry.symbols.isEmpty && !entry.tests.isEmpty, "\(entry.title): line, symbol, test")
      for line in entry.lines {
        let found = sources.values.contains { $0.says(line) }
        #expect(found, "\(entry.title): no source has the line \(line)")
      }
      for symbol in entry.symbols {
        let found = sources.values.contains { $0.declares(symbol) }
        #expect(found, "\(entry.title): no source declares \(symbol)")
      }
      for test in entry.tests {
        let parts = test.split(separator: ".")
        let found = tests.contains { $0.key.hasSuffix("/\(parts[0]).swift") && $0.value.declares(test) }
        #expect(found, "\(entry.title): there is no test \(test)")
      }
    }
  }

  @Test func everyNotationNamesWhatExists() throws {
    let sources = try Self.files(in: "Sources")
    let rows = try Self.text("docs/notation.md").split(separator: "\n").filter { $0.hasPrefix("| $") }
    #expect(rows.count > 20)
    for row in rows {
      let symbols = Self.codeSpans(row)
      #expect(!symbols.isEmpty, "\(row)")
      for symbol in symbols {
        let found = sources.values.contains { $0.declares(symbol) }
        #expect(found, "no source declares \(symbol)")
      }
    }
  }
}
