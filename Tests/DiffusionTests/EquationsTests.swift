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

  /// The text of every Swift file in a folder, by name.
  private static func files(in folder: String) throws -> [String: String] {
    let paths = try FileManager.default.subpathsOfDirectory(atPath: package.appending(path: folder).path)
    return try Dictionary(
      paths.filter { $0.hasSuffix(".swift") }.map { ($0, try text("\(folder)/\($0)")) }, uniquingKeysWith: { a, _ in a }
    )
  }

  private static func codeSpans(_ line: Substring) -> [String] {
    line.split(separator: "`", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }
      .map { String($0.element) }
  }

  private static func entries() throws -> [Entry] {
    var entries: [Entry] = []
    for line in try text("docs/equations.md").split(separator: "\n") {
      if line.hasPrefix("## ") { entries.append(Entry(title: String(line.dropFirst(3)))) }
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

  /// Whether some file declares `symbol`: a type or function, or a member in a file that declares or extends its type.
  private static func declares(_ symbol: String, in files: [String: String]) -> Bool {
    let parts = symbol.split(separator: ".").map(String.init)
    let declares = { (text: String, kinds: [String], name: String) in
      kinds.contains { kind in
        ["(", "<", ":", " ", ",", "\n"].contains { text.contains("\(kind) \(name)\($0)") }
      }
    }
    let types = ["struct", "enum", "class", "protocol", "extension"]
    guard let type = parts.first else { return false }
    return files.values.contains { text in
      if parts.count == 1 { return declares(text, types + ["func"], type) }
      return declares(text, types, type) && declares(text, ["func", "var", "let", "case", "struct", "enum"], parts[1])
    }
  }

  @Test func everyEntryNamesWhatExists() throws {
    let sources = try Self.files(in: "Sources/Diffusion")
    let tests = try Self.files(in: "Tests/DiffusionTests")
    let entries = try Self.entries()
    #expect(entries.count == 20)
    for entry in entries {
      #expect(entry.math == 1, "\(entry.title): one equation")
      #expect(
        !entry.lines.isEmpty && !entry.symbols.isEmpty && !entry.tests.isEmpty, "\(entry.title): line, symbol, test")
      for line in entry.lines {
        #expect(sources.values.contains { $0.contains(line) }, "\(entry.title): no source has the line \(line)")
      }
      for symbol in entry.symbols {
        #expect(Self.declares(symbol, in: sources), "\(entry.title): no source declares \(symbol)")
      }
      for test in entry.tests {
        let parts = test.split(separator: ".")
        #expect(
          parts.count == 2 && tests["\(parts[0]).swift"]?.contains("func \(parts[1])(") == true,
          "\(entry.title): there is no test \(test)")
      }
    }
  }

  @Test func everyNotationNamesWhatExists() throws {
    let sources = try Self.files(in: "Sources/Diffusion")
    let rows = try Self.text("docs/notation.md").split(separator: "\n").filter { $0.hasPrefix("| $") }
    #expect(rows.count > 20)
    for row in rows {
      let symbols = Self.codeSpans(row)
      #expect(!symbols.isEmpty, "\(row)")
      for symbol in symbols { #expect(Self.declares(symbol, in: sources), "no source declares \(symbol)") }
    }
  }
}
