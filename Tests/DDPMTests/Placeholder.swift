import Testing

@Test func placeholderDDPM() { #expect(Bool(true)) }
