import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Keeps `docs/book` true: what it quotes is the source, its two languages say the same, its links lead somewhere.
@Suite struct BookTests {
  @Test func everyExcerptIsTheSource() throws {
    for chapter in try Book.chapters() {
      #expect(!chapter.excerpts.isEmpty, "\(chapter.path): the lines of Swift")
      #expect(
        chapter.excerpts.count == chapter.blocks("swift").count,
        "\(chapter.path): every Swift block says where it is from")
      for excerpt in chapter.excerpts {
        #expect(try excerpt.source() == excerpt.text, "\(chapter.path): run scripts/book")
      }
    }
  }

  @Test func anExcerptOfWhatIsNotThereIsAnError() throws {
    let missing = Book.Excerpt(path: "Package.swift", anchor: "no such line", text: "")
    #expect(throws: Book.Problem.self) { try missing.source() }
    let twice = Book.Excerpt(path: "Package.swift", anchor: ".systemLibrary", text: "")
    #expect(throws: Book.Problem.self) { try twice.source() }
    let endless = Book.Excerpt(path: "Package.swift", anchor: "let package … no such line", text: "")
    #expect(throws: Book.Problem.self) { try endless.source() }
  }

  @Test func languagesHaveTheSameChapters() throws {
    let (english, chinese) = (try Book.chapters("en"), try Book.chapters("zh"))
    #expect(english.count == 16)
    #expect(english.map(\.name) == chinese.map(\.name))
    for (a, b) in zip(english, chinese) {
      #expect(!a.blocks("math").isEmpty && !a.blocks("sh").isEmpty, "\(a.path): equation and command")
      #expect(a.blocks("math") == b.blocks("math"), "\(a.name): equations")
      #expect(a.excerpts == b.excerpts, "\(a.name): excerpts")
      #expect(a.blocks("sh") == b.blocks("sh"), "\(a.name): commands")
      #expect(a.pictures == b.pictures, "\(a.name): pictures")
      #expect(a.headings.map(\.level) == b.headings.map(\.level), "\(a.name): sections")
      #expect(
        a.count(of: "<details>") >= 1 && a.count(of: "<details>") == b.count(of: "<details>"), "\(a.name): answers")
      #expect(a.numbers == b.numbers, "\(a.name): numbers")
    }
  }

  @Test func everyLinkLeadsSomewhere() throws {
    for page in try Book.chapters() + [Book.Page("docs/book/README.md")] {
      for link in page.links where !link.hasPrefix("http") {
        let target = page.folder.appending(path: link.prefix { $0 != "#" })
        // A picture that is not made yet is linked, not shown; scripts/book shows it once it is there.
        if link.hasPrefix("../images/"), !page.pictures.contains(link) { continue }
        #expect(FileManager.default.fileExists(atPath: target.path), "\(page.path): \(link)")
      }
    }
  }

  /// GitHub sets `$…$` only between backticks safely, and only after a space or ASCII punctuation.
  @Test func inlineMathIsReadable() throws {
    for page in try Book.chapters() + [Book.Page("docs/book/README.md")] {
      for line in page.prose {
        let parts = line.components(separatedBy: "$`")
        for (before, part) in zip(parts, parts.dropFirst()) {
          #expect(before.last.map { " (*|".contains($0) } ?? true, "\(page.path): no space before $`\(part.prefix(20))")
          #expect(part.components(separatedBy: "`$").count == 2, "\(page.path): unclosed $`\(part.prefix(20))")
        }
        let dollars = line.count { $0 == "$" }
        #expect(dollars == 2 * (parts.count - 1), "\(page.path): a $ without its backtick in \(line)")
      }
    }
  }

  /// A line's end is a space on the page, which Chinese has not.
  @Test func chineseParagraphsAreNotBroken() throws {
    for page in try Book.chapters("zh") {
      for (line, next) in zip(page.prose, page.prose.dropFirst()) where next.first.map(Book.isChinese) ?? false {
        #expect(!(line.last.map(Book.isChinese) ?? false), "\(page.path): \(line.suffix(10))⏎\(next.prefix(10))")
      }
    }
  }
}
