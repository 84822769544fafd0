import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Keeps the two READMEs equal, short and true. `scripts/readme --run` runs their commands.
@Suite struct ReadmeTests {
  private let english = Result { try Book.Page("README.md") }
  private let chinese = Result { try Book.Page("README.zh.md") }

  @Test func languagesSayTheSame() throws {
    let (a, b) = (try english.get(), try chinese.get())
    for language in ["sh", "swift", ""] { #expect(a.blocks(language) == b.blocks(language), "\(language)") }
    #expect(!a.blocks("sh").isEmpty)
    #expect(a.pictures == b.pictures)
    #expect(a.headings.map(\.level) == b.headings.map(\.level))
    #expect(a.numbers == b.numbers)
    // In this order; the first of each is to the other.
    #expect(a.links.dropFirst().sorted() == b.links.dropFirst().sorted())
    #expect(a.code == b.code)
  }

  /// Rows and columns are the same; so is what no language changes: numbers, and names in code.
  @Test func tablesAreEqual() throws {
    let (a, b) = (try english.get().tableRows, try chinese.get().tableRows)
    #expect(a.count == b.count && a.count > 10)
    for (ours, theirs) in zip(a, b) {
      #expect(ours.count == theirs.count, "\(ours)")
      for (one, other) in zip(ours.dropFirst(), theirs.dropFirst())
      where one.contains(where: \.isNumber) && !one.contains("`") {
        #expect(one == other)
      }
      if ours.first?.hasPrefix("`") == true { #expect(ours.first == theirs.first) }
    }
  }

  @Test func isShort() throws {
    let lines = try Book.text("README.md").split(separator: "\n", omittingEmptySubsequences: false).count - 1
    #expect(lines <= 150)
  }

  @Test(arguments: [
    "README.md", "README.zh.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/README.md", "docs/models.md",
  ])
  func everyLinkLeadsSomewhere(path: String) throws {
    let page = try Book.Page(path)
    for link in page.links where !link.hasPrefix("http") {
      let target = page.folder.appending(path: link.prefix { $0 != "#" })
      #expect(FileManager.default.fileExists(atPath: target.path), "\(link)")
    }
  }

  /// The index names every document.
  @Test func theIndexIsWhole() throws {
    let links = Set(try Book.Page("docs/README.md").links)
    for name in try FileManager.default.contentsOfDirectory(atPath: Book.package.appending(path: "docs").path)
    where name.hasSuffix(".md") && name != "README.md" {
      #expect(links.contains(name), "docs/README.md names no \(name)")
    }
  }
}

extension Book.Page {
  /// The cells of every row of its tables.
  fileprivate var tableRows: [[String]] {
    prose.filter { $0.hasPrefix("|") }.map { row in
      row.split(separator: "|", omittingEmptySubsequences: false).dropFirst().dropLast()
        .map { $0.split(separator: " ").joined(separator: " ") }
    }
  }

  /// What stands between backticks, sorted: the languages order their clauses differently.
  fileprivate var code: [String] {
    prose.flatMap { line in
      line.split(separator: "`", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }
        .map { String($0.element) }
    }.sorted()
  }
}
