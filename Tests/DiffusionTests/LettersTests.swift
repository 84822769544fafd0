import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Keeps the rule of `docs/notation.md`: what a user must write is ASCII, and a property that bears a letter has an alias.
@Suite struct LettersTests {
  static let folders = ["Values", "Process", "Likelihood", "Objective", "Guidance"].map { "Sources/Diffusion/\($0)" }

  /// What breaks the rule in a Swift file.
  static func offences(in text: String) -> [String] {
    let lines = text.split(separator: "\n").map { $0.drop { $0 == " " } }
    var offences: [String] = []
    for (i, line) in lines.enumerated() {
      let words = line.split(separator: " ")
      let isCase = words.first == "case" && line.contains("(") && !line.contains("let ") && !line.hasSuffix(":")
      guard words.first == "public" || isCase else { continue }
      if let at = words.firstIndex(where: { $0 == "var" || $0 == "let" }) {
        let name = words[at + 1].prefix { !":{=".contains($0) }
        // The alias reads the property and nothing else.
        let alias = lines.contains { $0.hasPrefix("public var") && $0.hasSuffix("{ \(name) }") }
        if !isASCII(name) && !alias { offences.append("\(name) has no alias") }
        continue
      }
      guard isCase || words.contains(where: { ["func", "init"].contains($0.prefix { $0.isLetter }) })
      else { continue }
      // The signature may go on for some lines.
      let signature = lines[i...].prefix(8).joined(separator: " ").prefix { $0 != "{" }
      let name = signature.prefix { $0 != "(" }
      if !isASCII(name) { offences.append(String(name)) }
      for label in labels(signature) where !isASCII(label) { offences.append("\(name)(\(label):)") }
    }
    return offences
  }

  private static func isASCII(_ text: Substring) -> Bool { text.utf8.allSatisfy { $0 < 128 } }

  /// The first word of each parameter of the first list in brackets.
  private static func labels(_ signature: Substring) -> [Substring] {
    var depth = 0
    var labels: [Substring] = []
    var start: Substring.Index?
    for i in signature.indices {
      switch signature[i] {
      case "(", "[":
        depth += 1
        if depth == 1 { start = signature.index(after: i) }
      case ")", "]":
        depth -= 1
        if depth == 0 { return labels }
      case ",": if depth == 1 { start = signature.index(after: i) }
      case ":":
        if depth == 1, let from = start {
          labels.append(signature[from..<i].split(separator: " ").first ?? "")
          start = nil
        }
      default: break
      }
    }
    return labels
  }

  @Test func whatOneWritesIsASCII() throws {
    let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    var files = 0
    for folder in Self.folders {
      for name in try FileManager.default.contentsOfDirectory(atPath: package.appending(path: folder).path) {
        let data = try Data(contentsOf: package.appending(path: "\(folder)/\(name)"))
        #expect(Self.offences(in: String(decoding: data, as: UTF8.self)) == [], "\(folder)/\(name)")
        files += 1
      }
    }
    #expect(files > 20)
  }

  @Test func offencesAreSeen() {
    let text = """
      public struct S {
        public let β: Double
        public let γ: Double
        public var gamma: Double { γ }
        let δ: Double
        public func f(_ x: Double, ε: Double) -> Double { x }
        public func g(
          epsilon ε: Double, by λ: [Double], then: (_ μ: Double) -> Void
        ) -> Double { ε }
        func h(η: Double) {}
        case a(ζ: Double)
        case b(zeta: Double)
        case .a(let ζ): 1
      }
      """
    #expect(Self.offences(in: text) == ["β has no alias", "public func f(ε:)", "case a(ζ:)"])
  }
}
