import Testing

@Test func placeholderCPUBackend() { #expect(Bool(true)) }
