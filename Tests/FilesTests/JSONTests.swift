import Files
import Testing

@Suite struct PipelineJSONTests {
  /// Text → what Python's `json.dumps(json.loads(text), indent=2, sort_keys=True)` gives.
  @Test(arguments: [
    ("0", "0"), ("-0", "0"), ("-0.0", "-0.0"), ("1.0", "1.0"), ("0.02", "0.02"), ("0.0001", "0.0001"),
    ("0.00001", "1e-05"), ("1e-6", "1e-06"), ("1.5E-10", "1.5e-10"), ("123456789.25", "123456789.25"),
    ("1e15", "1000000000000000.0"), ("123e14", "1.23e+16"), ("1e16", "1e+16"), ("-2.5e+300", "-2.5e+300"),
    ("9007199254740993.0", "9007199254740992.0"), ("5e-324", "5e-324"), ("0.1", "0.1"), ("1e22", "1e+22"),
    ("1234567890123456.7", "1234567890123456.8"), ("9223372036854775807", "9223372036854775807"),
    ("NaN", "NaN"), ("-Infinity", "-Infinity"), ("Infinity", "Infinity"),
    ("true", "true"), ("null", "null"), (" [ ] ", "[]"), ("{}", "{}"), ("[1,[]]", "[\n  1,\n  []\n]"),
    (#"{"b":1,"a":{"c":null}}"#, "{\n  \"a\": {\n    \"c\": null\n  },\n  \"b\": 1\n}"),
    (#""é\u00e9\ud83d\ude00\/\n\u007f""#, #""\u00e9\u00e9\ud83d\ude00/\n\u007f""#),
    (#"{"Z":0,"a":0,"é":0,"_":0}"#, "{\n  \"Z\": 0,\n  \"_\": 0,\n  \"a\": 0,\n  \"\\u00e9\": 0\n}"),
  ])
  func canonicalTextIsPythons(text: String, expected: String) throws {
    #expect(try JSONValue(parsing: text).canonicalText == expected + "\n")
  }

  @Test(arguments: [
    ("", 0), ("  ", 2), ("{", 1), ("[1,]", 3), ("[1 2]", 3), (#"{"a" 1}"#, 5), (#"{"a":1,}"#, 7), ("01", 1), ("1.", 2),
    (".5", 0), ("1e", 2), ("-", 1), ("+1", 0), ("1e999", 0), ("tru", 0), ("\"abc", 0), ("\"a\nb\"", 2), (#""\x""#, 2),
    (#""\u12""#, 5), (#""\ud800""#, 7), (#""\ud800\u0041""#, 13), (#""\udc00""#, 7), ("1 1", 2), ("{a:1}", 1),
    ("'a'", 0),
    (#"{"a":1,"a":2}"#, 7), (#"{"a":1,"\u0061":2}"#, 7), ("\u{feff}1", 0), ("-Inf", 0), ("nullx", 4),
  ])
  func refusesWithThePlace(text: String, offset: Int) {
    let error = #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    #expect(error?.offset == offset, "\(text): \(error?.description ?? "")")
  }

  @Test func refusesInvalidUTF8AndDeepNesting() {
    #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xC3, 0x22]) }
    #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xED, 0xA0, 0x80, 0x22]) }
    let deep = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
    #expect(throws: JSONError.self) { try JSONValue(parsing: deep) }
  }

  @Test func aDuplicateKeyIsNamedOnOneLine() {
    let error = #expect(throws: JSONError.self) { try JSONValue(parsing: #"{"a\nb": 1, "a\nb": 2}"#) }
    #expect(error?.description == #"invalid JSON at byte 12: the key 'a\nb' occurs twice"#)
  }
}
