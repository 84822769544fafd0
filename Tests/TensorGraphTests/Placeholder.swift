import Testing

@Test func placeholderTensorGraph() { #expect(Bool(true)) }
