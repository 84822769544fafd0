import Files
import Testing

@Suite struct YAMLTests {
  /// What PyYAML 6 reads them as, but for the numbers and words in which YAML 1.1 differs (`1e-4`, `yes`).
  @Test(arguments: [
    ("", "{}"), ("# nothing\n\n", "{}"), ("---\na: 1\n", #"{"a":1}"#),
    (
      "a: 1\nb: 2.5\nc: text\nd: true\ne: null\nf: ~\ng:\n",
      #"{"a":1,"b":2.5,"c":"text","d":true,"e":null,"f":null,"g":null}"#
    ),
    ("a: -3\nb: +4\nc: .5\nd: 1e-4\ne: 2E+3\n", #"{"a":-3,"b":4,"c":0.5,"d":0.0001,"e":2000.0}"#),
    ("a: yes\nb: inf\nc: 0x10\nd: 1_000\ne: nan", #"{"a":"yes","b":"inf","c":"0x10","d":"1_000","e":"nan"}"#),
    ("preset: mnist # comment\nname: it's # a\n", #"{"name":"it's","preset":"mnist"}"#),
    ("a: [1, 2,3 , ]\nb: [ ]\nc: {x: 1, \"y z\": [a, 'b']}\n", #"{"a":[1,2,3],"b":[],"c":{"x":1,"y z":["a","b"]}}"#),
    ("a:\n  - 1\n  - two\nb:\n- 3\n-\n- [4]\nc: 5\n", #"{"a":[1,"two"],"b":[3,null,[4]],"c":5}"#),
    ("a:\n    b:\n      c: 1\n    d: 2\ne: 3\n", #"{"a":{"b":{"c":1},"d":2},"e":3}"#),
    ("- a: 1\n  b: 2\n-   c: 3\n- - 4\n  - 5\n-\n  d: 6\n", #"[{"a":1,"b":2},{"c":3},[4,5],{"d":6}]"#),
    (#"a: "x\ty \u00e9 \"q\" # no: comment""#, #"{"a":"x\ty é \"q\" # no: comment"}"#),
    ("a: 'it''s # no: comment' # yes\n'b c': \"\"\n", #"{"a":"it's # no: comment","b c":""}"#),
    ("url: http://x/y#z\ntime: 12:30\n", #"{"time":"12:30","url":"http://x/y#z"}"#),
    ("a: b - c\nd: -e\nf: ?g\n", #"{"a":"b - c","d":"-e","f":"?g"}"#),
    ("a: 1\r\nb: 2\r\n", #"{"a":1,"b":2}"#), ("just text", #""just text""#), ("[1, [2, {a: 3}]]", #"[1,[2,{"a":3}]]"#),
    ("a: 12345678901234567890\n", #"{"a":1.2345678901234567e+19}"#), ("ключ: значение\n", #"{"ключ":"значение"}"#),
  ]) func reads(yaml: String, json: String) throws {
    #expect(try JSONValue(yaml: yaml).compactText == json)
  }

  @Test(arguments: [
    ("a: &x 1\nb: *x\n", 1, "begins with '&'"), ("a: *x\n", 1, "begins with '*'"), ("a: !!python/object 1\n", 1, "'!'"),
    ("a: |\n  text\n", 1, "'|'"), ("a: >\n  text\n", 1, "'>'"), ("%YAML 1.2\n---\na: 1\n", 1, "'%'"),
    ("a: 1\n---\nb: 2\n", 2, "belongs to nothing"), ("a: 1\na: 2\n", 2, "'a' occurs twice"),
    ("{a: 1, a: 2}", 1, "'a' occurs twice"), ("a: 1\n  b: 2\n", 2, "belongs to nothing"), ("a:\n\tb: 1\n", 2, "a tab"),
    ("a:\n    b: 1\n  c: 2\n", 3, "belongs to nothing"), ("a: [1, 2\n", 1, "not closed on the same line"),
    ("a: [1,\n 2]\n", 1, "the line ends"), ("a: \"x\n", 1, "begins with '\"'"), ("a: 'x\n", 1, "begins with '''"),
    ("a: b: c\n", 1, "two keys"), ("a: [b: c]\n", 1, "two keys"), ("a: 1 ]\nb\n", 2, "belongs to nothing"),
    ("a: [1] x\n", 1, "unexpected text"), ("a: 'x' y\n", 1, "unexpected text"), ("1: x\n", 1, "a key that is no text"),
    ("? a\n: b\n", 1, "'?'"), ("a: @x\n", 1, "'@'"), ("a: \"\\x\"\n", 1, "in quotes"), ("a: {b}\n", 1, "expected ':'"),
    ("a: \u{1b}[31m\n", 1, "a control character"), ("a: \u{7f}\n", 1, "a control character"),
    ("- 1\nb: 2\n", 2, "belongs to nothing"), ("a: ,\n", 1, "','"), ("a: -\n", 1, "'-'"),
  ]) func refusesWithTheLine(yaml: String, line: Int, problem: String) {
    let error = #expect(throws: YAMLError.self) { try JSONValue(yaml: yaml) }
    #expect(error?.line == line && error?.problem.contains(problem) == true, "\(error?.description ?? "")")
    #expect(error?.description.contains("\n") == false)
  }

  /// "Billion laughs": nine lists, each of nine times the one before, in 306 bytes.
  @Test func aliasesAreRefusedAtOnce() {
    var text = "a: &a [l,l,l,l,l,l,l,l,l]\n"
    for (before, name) in zip("abcdefgh", "bcdefghi") {
      text += "\(name): &\(name) [" + [String](repeating: "*\(before)", count: 9).joined(separator: ",") + "]\n"
    }
    let error = #expect(throws: YAMLError.self) { try JSONValue(yaml: text) }
    #expect(error?.line == 1)
    // In any order: an alias before its anchor, and merge keys.
    #expect(throws: YAMLError.self) { try JSONValue(yaml: "a: *b\nb: &b 1\n") }
    #expect(throws: YAMLError.self) { try JSONValue(yaml: "a:\n  <<: *b\n") }
  }

  @Test func sizeAndDepthAreBounded() {
    let many = 100_000
    for text in [
      String(repeating: "[", count: many), String(repeating: "{a: ", count: many), String(repeating: "- ", count: many),
      (0..<500).map { String(repeating: " ", count: $0) + "a:\n" }.joined(), String(repeating: "a", count: 2 << 20),
      String(repeating: "- \"", count: many), String(repeating: "['", count: many),
      String(repeating: " ''", count: many),
    ] {
      #expect(throws: YAMLError.self) { try JSONValue(yaml: text) }
    }
  }

  @Test func keysOfHostileFilesAreShownAndNotObeyed() {
    let error = #expect(throws: YAMLError.self) { try JSONValue(yaml: "\"\\u001b[2J\": 1\n\"\\u001b[2J\": 2\n") }
    #expect(error?.description == "line 2: the key '\\u{1b}[2J' occurs twice")
  }
}
