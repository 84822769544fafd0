#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A safetensors file, mapped into memory: opening checks the header and reads no weights.
///
/// A class because it owns a mapping of the file. As with any mapped file, another process that cuts the file short
/// while it is open ends this one; files that we replace are renamed into place, which leaves open mappings valid.
public final class SafetensorsFile: Sendable {
  /// What the tensors were read from; for messages.
  public let path: String
  /// Every tensor, in the order of the file.
  public let tensors: [StoredTensor]
  /// The header's free text, such as `format: pt`.
  public let metadata: [String: String]

  private let memory: Memory
  private let dataStart: Int
  private let index: [String: Int]

  /// The bytes that a file may have unless the caller says otherwise: 64 GiB.
  public static let largest = 64 << 30

  /// Maps the file and checks its header.
  ///
  /// - Throws: ``SafetensorsError`` for its contents, `FileError` where it is no regular file, has more bytes than `limit`, or the
  ///   system refuses.
  public convenience init(contentsOf url: URL, limit: Int = largest) throws {
    try self.init(memory: Memory(mapping: url.path, limit: limit), path: url.path)
  }

  /// Reads the bytes of a whole file.
  ///
  /// - Throws: ``SafetensorsError``.
  public convenience init(bytes: [UInt8], path: String = "safetensors") throws(SafetensorsError) {
    try self.init(memory: Memory(copying: bytes), path: path)
  }

  private init(memory: Memory, path: String) throws(SafetensorsError) {
    let header: SafetensorsHeader
    do { header = try SafetensorsHeader(checking: memory.bytes) } catch {
      throw SafetensorsError(file: path, problem: error)
    }
    self.path = path
    self.memory = memory
    tensors = header.tensors
    metadata = header.metadata
    dataStart = header.dataStart
    index = Dictionary(
      header.tensors.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The tensor of that name, if there is one.
  public subscript(name: String) -> StoredTensor? { index[name].map { tensors[$0] } }

  /// The values of a tensor stored as F32, F16, BF16 or F64, in row-major order.
  ///
  /// - Throws: ``SafetensorsError`` where the name is absent or the type is another.
  public func floats(_ name: String) throws(SafetensorsError) -> [Float] {
    let tensor = try tensor(name, types: StoredType.floats)
    return [Float](unsafeUninitializedCapacity: tensor.count) { values, count in
      copy(tensor, to: values)
      count = tensor.count
    }
  }

  /// The values of a tensor stored as I64, I32 or U8, in row-major order.
  ///
  /// - Throws: ``SafetensorsError`` where the name is absent or the type is another.
  public func integers(_ name: String) throws(SafetensorsError) -> [Int] {
    let tensor = try tensor(name, types: StoredType.integers)
    let bytes = bytes(of: tensor)
    return (0..<tensor.count).map { i in
      switch tensor.type {
      case .i64: Int(Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: i * 8, as: Int64.self)))
      case .i32: Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: i * 4, as: Int32.self)))
      default: Int(bytes[i])
      }
    }
  }

  private func tensor(_ name: String, types: [StoredType]) throws(SafetensorsError) -> StoredTensor {
    guard let tensor = self[name] else {
      throw SafetensorsError(file: path, problem: .missing(tensor: name, present: tensors.map(\.name)))
    }
    guard types.contains(tensor.type) else {
      throw SafetensorsError(file: path, problem: .unreadable(tensor: name, type: tensor.type, readable: types))
    }
    return tensor
  }

  /// Holds the values against the checksum that the metadata say, where they do: reads all of the file.
  ///
  /// - Throws: ``SafetensorsError`` where they differ.
  public func verify() throws(SafetensorsError) {
    guard let wanted = metadata[Safetensors.checksumKey] else { return }
    var checksum = CRC32C()
    checksum.add(UnsafeRawBufferPointer(rebasing: memory.bytes[dataStart...]))
    let found = Manifest.text(checksum.value)
    guard found == wanted else {
      throw SafetensorsError(file: path, problem: .checksum(expected: wanted, found: found))
    }
  }

  /// The file need not be aligned (older writers did not pad the header), so elements are loaded unaligned.
  private func copy(_ tensor: StoredTensor, to values: UnsafeMutableBufferPointer<Float>) {
    let bytes = bytes(of: tensor)
    func load<Bits: FixedWidthInteger>(_: Bits.Type, _ i: Int) -> Bits {
      Bits(littleEndian: bytes.loadUnaligned(fromByteOffset: i * MemoryLayout<Bits>.size, as: Bits.self))
    }
    switch tensor.type {
    case .f32: fill(values, tensor.count) { Float(bitPattern: load(UInt32.self, $0)) }
    case .f64: fill(values, tensor.count) { Float(Double(bitPattern: load(UInt64.self, $0))) }
    case .f16: fill(values, tensor.count) { Float(Float16(bitPattern: load(UInt16.self, $0))) }
    case .bf16: fill(values, tensor.count) { BFloat16.widen(load(UInt16.self, $0)) }
    default: preconditionFailure("\(tensor.type) is not a float")  // tensor(_:types:) has checked
    }
  }

  private func fill(_ values: UnsafeMutableBufferPointer<Float>, _ count: Int, with value: (Int) -> Float) {
    for i in 0..<count { values.initializeElement(at: i, to: value(i)) }
  }

  private func bytes(of tensor: StoredTensor) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: memory.bytes[dataStart...][tensor.bytes.shifted(by: dataStart)])
  }
}

extension Range<Int> {
  fileprivate func shifted(by offset: Int) -> Range<Int> { lowerBound + offset..<upperBound + offset }
}

/// Bytes that live as long as this object: a mapped file, or a copy.
private final class Memory: @unchecked Sendable {
  // Safe to share: written before init returns and never after.
  let bytes: UnsafeRawBufferPointer
  private let isMapped: Bool

  init(copying source: [UInt8]) {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: source.count, alignment: 16)
    copy.copyBytes(from: source)
    bytes = UnsafeRawBufferPointer(copy)
    isMapped = false
  }

  init(mapping path: String, limit: Int) throws {
    let file = try ReadableFile(path, limit: limit)
    // An empty range cannot be mapped.
    guard file.size > 0 else { throw SafetensorsError(file: path, problem: .tooShort(bytes: 0)) }
    bytes = try file.map()
    isMapped = true
  }

  deinit {
    if isMapped {
      munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
    } else {
      bytes.deallocate()
    }
  }
}
