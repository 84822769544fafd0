import Files
import Testing

@Suite struct VisibleTests {
  @Test(arguments: [
    ("käse/日本.png", "käse/日本.png"), ("a\nb\r\tc", "a\\nb\\r\\tc"), ("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}"),
    ("\u{9b}2J", "\\u{9b}2J"), ("invoice\u{202e}gpj.exe", "invoice\\u{202e}gpj.exe"),
    ("a\u{2066}b\u{2069}", "a\\u{2066}b\\u{2069}"),
    ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"), ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
    ("it's \\ \"x\"", "it's \\ \"x\""),
  ]) func whatCannotBeSeenIsSpelled(text: String, shown: String) {
    #expect(text.onOneLine == shown)
    #expect(quoted(text) == "'\(shown)'")
  }

  @Test func longTextsAreCut() {
    #expect(quoted(String(repeating: "x", count: 1000)) == "'\(String(repeating: "x", count: 80))…'")
    #expect(String(repeating: "x", count: 1_000_000).onOneLine.count == 4097)
    #expect(String(repeating: "x\n", count: 10_000).inPlainSight == String(repeating: "x\\n", count: 10_000))
    #expect(list((0..<20).map { "\($0)\n" }, limit: 2) == "0\\n, 1\\n and 18 more")
  }

  /// Every error of this module, with a hostile name in every place.
  @Test func errorsStayOnTheirLine() {
    let bad = "a\u{1b}[2J\n\u{202e}b"
    let errors: [any Error] = [
      FileError(verb: "read", path: bad, code: 2), FileError(verb: "read", path: bad, reason: .notAFile(.fifo)),
      DataError(.corrupt, file: bad, bad, remedy: bad), JSONError(offset: 0, problem: bad),
      SafetensorsError(file: bad, problem: .missing(tensor: bad, present: [bad])),
      SafetensorsError(file: bad, problem: .unknownType(tensor: bad, type: bad)),
      SafetensorsError(file: bad, problem: .headerShape(bad)), RunLockError.held(folder: bad, by: nil),
      RunLockError.unsupported(folder: bad), ManifestError(file: bad, problem: .damaged(bad)),
      ManifestError(file: bad, problem: .identity(key: bad, expected: bad, found: bad)),
    ]
    for error in errors {
      let text = "\(error)"
      #expect(text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x202E }, "\(text)")
      #expect(text.contains("\\u{1b}"))
    }
  }
}
