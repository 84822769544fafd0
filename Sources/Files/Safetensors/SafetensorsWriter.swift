#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A tensor in ordinary memory with a name: what a safetensors file is written from.
public struct NamedTensor: Equatable, Sendable {
  /// Unique in a file; `__metadata__` is taken.
  public let name: String
  /// Outermost dimension first; [] for a scalar.
  public let shape: [Int]
  /// In row-major order.
  public let values: Values

  /// Elements before they are encoded.
  public enum Values: Equatable, Sendable {
    /// In the precision of the file.
    case floats([Float])
    /// As I64.
    case integers([Int])

    var count: Int {
      switch self {
      case .floats(let values): values.count
      case .integers(let values): values.count
      }
    }
  }

  /// Whether shape and count agree is checked where it is written.
  public init(_ name: String, shape: [Int], floats: [Float]) {
    self.name = name
    self.shape = shape
    values = .floats(floats)
  }

  /// Whether shape and count agree is checked where it is written.
  public init(_ name: String, shape: [Int], integers: [Int]) {
    self.name = name
    self.shape = shape
    values = .integers(integers)
  }
}

/// A tensor whose values are made when they are written: a network that is saved need not be held twice.
public struct TensorSource {
  /// Unique in a file; `__metadata__` is taken.
  public let name: String
  /// Outermost dimension first; [] for a scalar.
  public let shape: [Int]
  let count: Int
  let isInteger: Bool
  let values: () throws -> NamedTensor.Values

  /// - Parameter floats: As many as `shape` has places.
  public init(_ name: String, shape: [Int], floats: @escaping () throws -> [Float]) {
    self.name = name
    self.shape = shape
    count = shape.reduce(1, *)
    isInteger = false
    values = { .floats(try floats()) }
  }

  /// One whose values are at hand already.
  public init(_ tensor: NamedTensor) {
    name = tensor.name
    shape = tensor.shape
    count = tensor.values.count
    isInteger = if case .integers = tensor.values { true } else { false }
    values = { tensor.values }
  }

  /// The type in the file: integers are written as I64, floats in the wanted precision.
  func storedType(_ precision: WeightPrecision) -> StoredType { isInteger ? .i64 : precision.storedType }
}

/// Writes safetensors files exactly as the `safetensors` Python package does: the same tensors give the same bytes.
public enum Safetensors {
  /// The metadata that PyTorch's tools write and look for.
  public static let torchMetadata = ["format": "pt"]

  /// The key in the metadata of the CRC32C of all that follows the header, in eight hexadecimal digits.
  static let checksumKey = "ddpm.crc32c"
  private static let noChecksum = "00000000"

  /// Writes a file atomically: whole and durable under its name, or not there.
  ///
  /// - Parameters:
  ///   - tensors: In any order; the file orders them by element size, then by name.
  ///   - precision: How floats are stored.
  ///   - isChecksummed: Whether the metadata say the CRC32C of the values, for ``SafetensorsFile/verify()``.
  /// - Throws: ``SafetensorsError`` where names repeat or a shape does not fit its values, `FileError` where the system
  ///   refuses, and what making the values throws.
  public static func write(
    _ tensors: [TensorSource], to url: URL, precision: WeightPrecision = .f32,
    metadata: [String: String] = torchMetadata, isChecksummed: Bool = false
  ) throws {
    let file = try AtomicFile(url)
    // What goes to a pipe cannot be gone back to.
    let isChecksummed = isChecksummed && file.isReplacing
    let metadata = isChecksummed ? metadata.merging([checksumKey: noChecksum]) { $1 } : metadata
    let layout: Layout
    do { layout = try Layout(tensors, precision: precision, metadata: metadata) } catch {
      throw SafetensorsError(file: url.path, problem: error)
    }
    try file.write(contentsOf: layout.prefix)
    var checksum = CRC32C()
    for tensor in layout.tensors {
      let values = try tensor.values()
      precondition(values.count == tensor.count, "\(tensor.name): \(values.count) values for \(tensor.shape)")
      let bytes = encode(values, as: precision)
      if isChecksummed { bytes.withUnsafeBytes { checksum.add($0) } }
      try file.write(contentsOf: bytes)
    }
    if isChecksummed, let place = layout.prefix.firstRange(of: Array("\(checksumKey)\":\"\(noChecksum)".utf8)) {
      try file.overwrite(Array(Manifest.text(checksum.value).utf8), at: place.upperBound - noChecksum.utf8.count)
    }
    try file.commit()
  }

  /// Writes a file of tensors that are at hand.
  public static func write(
    _ tensors: [NamedTensor], to url: URL, precision: WeightPrecision = .f32,
    metadata: [String: String] = torchMetadata
  ) throws {
    try write(tensors.map(TensorSource.init), to: url, precision: precision, metadata: metadata)
  }

  /// The bytes of the file that ``write(_:to:precision:metadata:)`` makes.
  ///
  /// - Throws: ``SafetensorsError`` where names repeat or a shape does not fit its values.
  public static func bytes(
    _ tensors: [NamedTensor], precision: WeightPrecision = .f32, metadata: [String: String] = torchMetadata
  ) throws(SafetensorsError) -> [UInt8] {
    do {
      let layout = try Layout(tensors.map(TensorSource.init), precision: precision, metadata: metadata)
      let values = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.values) })
      return layout.tensors.reduce(into: layout.prefix) { bytes, tensor in
        if let values = values[tensor.name] { bytes += encode(values, as: precision) }
      }
    } catch {
      throw SafetensorsError(file: "safetensors", problem: error)
    }
  }

  private static func encode(_ values: NamedTensor.Values, as precision: WeightPrecision) -> [UInt8] {
    switch (values, precision) {
    case (.integers(let integers), _): littleEndian(integers) { UInt64(bitPattern: Int64($0)) }
    case (.floats(let floats), .f32): littleEndian(floats, \.bitPattern)
    case (.floats(let floats), .f16): littleEndian(floats) { Float16($0).bitPattern }
    case (.floats(let floats), .bf16): littleEndian(floats, BFloat16.narrow)
    }
  }

  private static func littleEndian<Value, Bits: FixedWidthInteger>(
    _ values: [Value], _ bits: (Value) -> Bits
  ) -> [UInt8] {
    let size = MemoryLayout<Bits>.size
    return [UInt8](unsafeUninitializedCapacity: values.count * size) { bytes, count in
      let raw = UnsafeMutableRawBufferPointer(bytes)
      for (i, value) in values.enumerated() {
        raw.storeBytes(of: bits(value).littleEndian, toByteOffset: i * size, as: Bits.self)
      }
      count = values.count * size
    }
  }
}

/// The order of the tensors and the bytes before them.
private struct Layout {
  let tensors: [TensorSource]
  /// The header's length and the header.
  let prefix: [UInt8]

  init(
    _ unordered: [TensorSource], precision: WeightPrecision, metadata: [String: String]
  ) throws(SafetensorsError.Problem) {
    let rank = Dictionary(uniqueKeysWithValues: StoredType.allCases.enumerated().map { ($1, $0) })
    func key(_ tensor: TensorSource) -> Int { rank[tensor.storedType(precision)] ?? 0 }
    tensors = unordered.sorted {
      key($0) != key($1) ? key($0) < key($1) : $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
    }

    var entries: [String] = []
    if !metadata.isEmpty {
      let members = metadata.mapValues { JSONValue.string($0) }
      entries.append("\"__metadata__\":\(JSONValue.object(members).compactText)")
    }
    var names: Set<String> = ["__metadata__"]
    var end = 0
    for tensor in tensors {
      guard names.insert(tensor.name).inserted else { throw .duplicateName(tensor.name) }
      let type = tensor.storedType(precision)
      guard let size = SafetensorsHeader.byteCount(shape: tensor.shape, type: type),
        size == tensor.count * type.size
      else { throw .count(tensor: tensor.name, shape: tensor.shape, values: tensor.count) }
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      entries.append(
        JSONValue.string(tensor.name).compactText
          + ":{\"dtype\":\"\(type.rawValue)\",\"shape\":[\(shape)],\"data_offsets\":[\(end),\(end + size)]}")
      end += size
    }
    var header = Array("{\(entries.joined(separator: ","))}".utf8)
    // Spaces after the JSON keep the data 8-byte aligned.
    header += Array(repeating: UInt8(ascii: " "), count: (8 - header.count % 8) % 8)
    prefix = (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header
  }
}
