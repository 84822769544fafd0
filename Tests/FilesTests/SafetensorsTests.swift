import Files
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct PipelineSafetensorsTests {
  /// A file with this header and `data` bytes after it.
  static func file(_ header: String, data: Int = 0, length: UInt64? = nil) -> [UInt8] {
    let length = length ?? UInt64(header.utf8.count)
    return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + Array(header.utf8)
      + (0..<data).map { UInt8(truncatingIfNeeded: $0) }
  }

  static func entry(_ name: String, _ type: String = "F32", _ shape: String = "[1]", _ offsets: String = "[0,4]")
    -> String
  {
    "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}"
  }

  static func problem(_ bytes: [UInt8]) -> SafetensorsError.Problem? {
    do {
      _ = try SafetensorsFile(bytes: bytes)
      return nil
    } catch { return error.problem }
  }

  // MARK: Checksums

  /// Every flipped bit of the values is found; the header finds its own.
  @Test func flippedBitsAreFoundWhereAChecksumIsCarried() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "x.safetensors")
      let tensors = [
        NamedTensor("b", shape: [2, 2], floats: [1, -2, 0.5, 3]), NamedTensor("a", shape: [3], integers: [1, 2, -9]),
      ]
      try Safetensors.write(tensors.map(TensorSource.init), to: url, isChecksummed: true)
      let bytes = try FileBytes.read(url.path, limit: 1 << 20)
      let file = try SafetensorsFile(bytes: bytes)
      try file.verify()
      // Of -9, 1, 2 and the floats: a checksum by bits, not by our tables.
      let values = Array(bytes.suffix(40))
      var remainder = UInt32.max
      for byte in values {
        remainder ^= UInt32(byte)
        for _ in 0..<8 { remainder = remainder >> 1 ^ (remainder & 1 == 1 ? 0x82F6_3B78 : 0) }
      }
      let digits = String(~remainder, radix: 16)
      #expect(
        file.metadata == ["format": "pt", "ddpm.crc32c": String(repeating: "0", count: 8 - digits.count) + digits])
      #expect(try file.integers("a") == [1, 2, -9] && file.floats("b") == [1, -2, 0.5, 3])

      for bit in 0..<8 * 40 {
        var damaged = bytes
        damaged[bytes.count - 40 + bit / 8] ^= 1 << (bit % 8)
        let file = try SafetensorsFile(bytes: damaged)
        let error = #expect(throws: SafetensorsError.self) { try file.verify() }
        guard case .checksum(let expected, _) = error?.problem else {
          Issue.record("\(String(describing: error))")
          return
        }
        #expect(expected == file.metadata["ddpm.crc32c"])
      }
      // Others' files carry none.
      try SafetensorsFile(bytes: Safetensors.bytes(tensors)).verify()
      #expect(try Safetensors.bytes(tensors).suffix(40) == bytes.suffix(40))
    }
  }

  // MARK: Reading

  /// Made by `torch.tensor([1, -2.5, 65504, 2**-24, inf, nan, 1/3, -0.0])` in each type: bits by PyTorch.
  @Test(arguments: [
    ("F16", [0x3C00, 0xC100, 0x7BFF, 0x0001, 0x7C00, 0x7E00, 0x3555, 0x8000] as [UInt16]),
    ("BF16", [0x3F80, 0xC020, 0x4780, 0x3380, 0x7F80, 0x7FC0, 0x3EAB, 0x8000]),
  ])
  func readsAndWritesHalfPrecision(type: String, bits: [UInt16]) throws {
    let values: [Float] = [1, -2.5, 65504, 0x1p-24, .infinity, .nan, 1 / 3, -0.0]
    let precision: WeightPrecision = type == "F16" ? .f16 : .bf16
    let written = try Safetensors.bytes([NamedTensor("x", shape: [8], floats: values)], precision: precision)
    let tail = written.suffix(16)
    #expect(Array(tail) == bits.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] })

    let read = try SafetensorsFile(bytes: written).floats("x")
    for (value, found) in zip(values, read) {
      #expect(value.isNaN ? found.isNaN : value.isInfinite ? found == value : abs(found - value) <= abs(value) / 256)
    }
    #expect(read[7].sign == .minus)
  }

  @Test func readsEveryTypeThatHoldsNumbers() throws {
    func bytes<T>(_ values: [T]) -> [UInt8] { values.withUnsafeBytes { Array($0) } }
    let header =
      "{" + Self.entry("d", "F64", "[2]", "[0,16]") + "," + Self.entry("l", "I64", "[2]", "[16,32]") + ","
      + Self.entry("i", "I32", "[1,2]", "[32,40]") + "," + Self.entry("b", "U8", "[]", "[40,41]") + "}"
    let data = bytes([0.1, -1e300]) + bytes([Int64.min, 7]) + bytes([Int32(-5), 6]) + [200]
    let file = try SafetensorsFile(bytes: Self.file(header) + data)
    #expect(try file.floats("d") == [0.1, -.infinity])
    #expect(try file.integers("l") == [.min, 7])
    #expect(try file.integers("i") == [-5, 6])
    #expect(try file.integers("b") == [200])
    #expect(file["i"]?.shape == [1, 2])
    #expect(file["b"]?.shape == [])
  }

  @Test func namesWhatIsThereWhenATensorIsAbsentOrOfAnotherType() throws {
    let file = try SafetensorsFile(bytes: Self.file("{" + Self.entry("x", "I64", "[1]", "[0,8]") + "}", data: 8))
    #expect(throws: SafetensorsError(file: "safetensors", problem: .missing(tensor: "y", present: ["x"]))) {
      try file.floats("y")
    }
    #expect(
      throws: SafetensorsError(
        file: "safetensors", problem: .unreadable(tensor: "x", type: .i64, readable: [.f32, .f16, .bf16, .f64]))
    ) { try file.floats("x") }
  }

  @Test func acceptsEmptyFilesEmptyTensorsAndPadding() throws {
    #expect(try SafetensorsFile(bytes: Self.file("{}")).tensors.isEmpty)
    let header = "{" + Self.entry("a", "F32", "[0,3]", "[4,4]") + "," + Self.entry("b") + "}   "
    let file = try SafetensorsFile(bytes: Self.file(header, data: 4))
    #expect(try file.floats("a").isEmpty)
    #expect(file.tensors.map(\.name) == ["b", "a"])
  }

  // MARK: Refusing

  @Test(
    arguments: [
      ([1, 2, 3], .tooShort(bytes: 3)),
      (file("{}", length: 3), .headerLength(3, available: 2)),
      (file("{}", length: .max), .headerLength(.max, available: 2)),
      (file("[]"), .headerShape("it is an array, not an object")),
      (file("{\"a\":1}"), .headerShape("'a' is an integer, not an object")),
      (file("{\"__metadata__\":1}"), .headerShape("__metadata__ is an integer, not an object")),
      (file("{\"__metadata__\":{\"a\":1}}"), .headerShape("__metadata__ entry 'a' is an integer, not a string")),
      (file("{\"a\":{}}"), .headerShape("'a' should have dtype, shape and data_offsets; it has nothing")),
      (file("{" + entry("a", "F99") + "}", data: 4), .unknownType(tensor: "a", type: "F99")),
      (
        file("{" + entry("a", "F32", "[-1]") + "}", data: 4), .headerShape("'a'.shape is no list of integers from 0 up")
      ),
      (
        file("{" + entry("a", "F32", "[1.0]") + "}", data: 4),
        .headerShape("'a'.shape is no list of integers from 0 up")
      ),
      (
        file("{" + entry("a", "F32", "[1]", "[0]") + "}", data: 4),
        .headerShape("'a'.data_offsets is no pair of integers from 0 up")
      ),
      (
        file("{" + entry("a", "F32", "[1]", "[4,0]") + "}", data: 4),
        .offsets(tensor: "a", begin: 4, end: 0, available: 4)
      ),
      (file("{" + entry("a") + "}", data: 3), .offsets(tensor: "a", begin: 0, end: 4, available: 3)),
      (
        file("{" + entry("a", "F32", "[4611686018427387904,4611686018427387904]") + "}", data: 4),
        .tooLarge(tensor: "a", shape: [4_611_686_018_427_387_904, 4_611_686_018_427_387_904])
      ),
      (
        file("{" + entry("a", "F32", "[2]") + "}", data: 4),
        .size(tensor: "a", shape: [2], type: .f32, expected: 8, found: 4)
      ),
      (
        file("{" + entry("a") + "," + entry("b", "F32", "[1]", "[2,6]") + "}", data: 6),
        .overlap(tensor: "b", with: "a", at: 2)
      ),
      (file("{" + entry("a") + "," + entry("b") + "}", data: 4), .overlap(tensor: "b", with: "a", at: 0)),
      (file("{" + entry("a", "F32", "[1]", "[1,5]") + "}", data: 5), .gap(before: "a", from: 0, to: 1)),
      (file("{" + entry("a") + "}", data: 5), .trailing(from: 4, available: 5)),
      (
        file("{" + entry("a") + "," + entry("a", "F32", "[1]", "[4,8]") + "}", data: 8),
        .headerJSON(JSONError(offset: 54, problem: "the key 'a' occurs twice"))
      ),
    ] as [([UInt8], SafetensorsError.Problem)])
  func refusesBadHeaders(bytes: [UInt8], expected: SafetensorsError.Problem) {
    let found = Self.problem(bytes)
    #expect(found == expected)
    #expect(found?.description.contains("\n") == false)
  }

  // MARK: Writing

  /// The files were written by the `safetensors` Python package: ours must be the same to the byte.
  @Test(
    .needsShared,
    arguments: [
      "pipelines/mnist/unet/diffusion_pytorch_model.safetensors", "pipelines/classes/io.safetensors",
      "training/steps.safetensors", "samplers/ddpm-fixed_small-50.safetensors", "bound.safetensors",
    ])
  func rewritesPythonsFilesUnchanged(path: String) throws {
    let url = try SharedFiles.url("reference/" + path)
    let file = try SafetensorsFile(contentsOf: url)
    let tensors = try file.tensors.shuffled().map { tensor in
      tensor.type == .f32
        ? NamedTensor(tensor.name, shape: tensor.shape, floats: try file.floats(tensor.name))
        : NamedTensor(tensor.name, shape: tensor.shape, integers: try file.integers(tensor.name))
    }
    let written = try Safetensors.bytes(tensors, metadata: file.metadata)
    #expect(try Data(contentsOf: url) == Data(written))
  }

  @Test func writesAtomicallyAndReadsBack() throws {
    try withTemporaryFolder { directory in
      let url = directory.appending(path: "x.safetensors")
      let tensors = [NamedTensor("b", shape: [2], floats: [1, 2]), NamedTensor("a\"é", shape: [], floats: [3])]
      try Safetensors.write(tensors, to: url)
      try Safetensors.write(tensors, to: url)
      let file = try SafetensorsFile(contentsOf: url)
      #expect(file.metadata == ["format": "pt"])
      #expect(try file.floats("a\"é") == [3])
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["x.safetensors"])
    }
  }

  @Test func refusesTensorsThatMakeNoFile() {
    #expect(throws: SafetensorsError(file: "safetensors", problem: .duplicateName("a"))) {
      try Safetensors.bytes([NamedTensor("a", shape: [], floats: [1]), NamedTensor("a", shape: [], floats: [1])])
    }
    #expect(throws: SafetensorsError(file: "safetensors", problem: .duplicateName("__metadata__"))) {
      try Safetensors.bytes([NamedTensor("__metadata__", shape: [], floats: [1])])
    }
    #expect(throws: SafetensorsError(file: "safetensors", problem: .count(tensor: "a", shape: [2], values: 1))) {
      try Safetensors.bytes([NamedTensor("a", shape: [2], floats: [1])])
    }
  }
}
