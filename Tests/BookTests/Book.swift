#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The book's Markdown, read for what it quotes.
enum Book {
  static let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  struct Problem: Error, CustomStringConvertible {
    let description: String
  }

  static func text(_ path: String) throws -> String {
    String(decoding: try Data(contentsOf: package.appending(path: path)), as: UTF8.self)
  }

  /// The chapters of a language, or of both, in order.
  static func chapters(_ language: String? = nil) throws -> [Page] {
    try (language.map { [$0] } ?? ["en", "zh"]).flatMap { language in
      let folder = "docs/book/\(language)"
      return try FileManager.default.contentsOfDirectory(atPath: package.appending(path: folder).path).sorted()
        .map { try Page("\(folder)/\($0)") }
    }
  }

  /// Chinese characters and full-width punctuation.
  static func isChinese(_ character: Character) -> Bool {
    character.unicodeScalars.allSatisfy { (0x3000...0x9FFF).contains($0.value) || (0xFF00...0xFFEF).contains($0.value) }
  }

  /// Lines of a source file, as `scripts/book` cuts them.
  struct Excerpt: Equatable {
    let path: String
    let anchor: String
    let text: String

    /// What the source says now.
    func source() throws -> String {
      let lines = try Book.text(path).split(separator: "\n", omittingEmptySubsequences: false)
      let ends = anchor.components(separatedBy: " … ")
      let starts = lines.indices.filter { lines[$0].drop { $0 == " " }.hasPrefix(ends[0]) }
      guard starts.count == 1, let start = starts.first else {
        throw Problem(description: "\(path): \(starts.count) lines begin with '\(ends[0])', not one")
      }
      let margin = Self.indentation(lines[start])
      var end = start
      let last = ends.count > 1 ? ends[1] : lines[start].hasSuffix("{") ? "}" : ""
      if !last.isEmpty {
        let closing = String(repeating: " ", count: margin) + "}"
        let found = lines.indices.dropFirst(start + 1).first {
          last == "}" ? lines[$0] == closing : lines[$0].drop { $0 == " " }.hasPrefix(last)
        }
        guard let found else {
          throw Problem(description: "\(path): no line after '\(ends[0])' begins with '\(last)'")
        }
        end = found
      }
      return lines[start...end].map { $0.dropFirst(min(margin, Self.indentation($0))) + "\n" }.joined()
    }

    private static func indentation(_ line: Substring) -> Int { line.prefix { $0 == " " }.count }
  }

  /// One Markdown file.
  struct Page {
    let path: String
    /// Fenced blocks by language, in order.
    private var fenced: [(language: String, text: String)] = []
    private(set) var excerpts: [Excerpt] = []
    /// The lines outside fences.
    private(set) var prose: [String] = []

    init(_ path: String) throws {
      self.path = path
      var block: (language: String, text: String)?
      var source: (path: String, anchor: String)?
      for line in try Book.text(path).split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
        if line.hasPrefix("```") {
          if let done = block {
            fenced.append(done)
            if let source, done.language == "swift" {
              excerpts.append(Excerpt(path: source.path, anchor: source.anchor, text: done.text))
            }
            (block, source) = (nil, nil)
          } else {
            block = (String(line.dropFirst(3)), "")
          }
        } else if block != nil {
          block?.text += line + "\n"
        } else if line.hasPrefix("<!-- swift: "), line.hasSuffix(" -->") {
          let words = line.dropFirst(12).dropLast(4).split(separator: " ", maxSplits: 1)
          if words.count == 2 { source = (String(words[0]), String(words[1])) }
        } else {
          prose.append(line)
        }
      }
    }

    var name: String { String(path.split(separator: "/").last ?? "") }
    var folder: URL { Book.package.appending(path: path).deletingLastPathComponent() }

    func blocks(_ language: String) -> [String] { fenced.filter { $0.language == language }.map(\.text) }
    func count(of line: String) -> Int { prose.count { $0 == line } }

    /// Where its links lead.
    var links: [String] {
      prose.flatMap { line in
        line.components(separatedBy: "](").dropFirst().compactMap { $0.split(separator: ")").first.map(String.init) }
      }
    }

    /// The pictures it shows.
    var pictures: [String] {
      prose.filter { $0.hasPrefix("![") }.compactMap {
        $0.components(separatedBy: "](").last.map { String($0.dropLast()) }
      }
    }

    var headings: [(level: Int, text: String)] {
      prose.filter { $0.hasPrefix("#") }.map { line in
        (line.prefix { $0 == "#" }.count, String(line.drop { $0 == "#" || $0 == " " }))
      }
    }

    /// Decimal fractions in text and equations, such as results: sorted, since the languages order their clauses differently.
    var numbers: [String] {
      (prose + blocks("math")).flatMap { line in
        line.split { !($0.isASCII && ($0.isNumber || $0 == ".")) }
          .map { word in String(word.reversed().drop { $0 == "." }.reversed()) }.filter { $0.contains(".") }
      }.sorted()
    }
  }
}
