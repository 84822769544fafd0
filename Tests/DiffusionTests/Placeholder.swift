import Testing

@Test func placeholderDiffusion() { #expect(Bool(true)) }
