import Platform

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
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

  /// Where each tensor's bytes lie.
  private let places: [String: Place]
  /// What was read: one file, or those that were joined.
  private let parts: [Part]

  private struct Place {
    let tensor: StoredTensor
    let memory: Memory
    let dataStart: Int
  }

  private struct Part {
    let path: String
    /// Of its data, where its metadata say it.
    let checksum: String?
    let memory: Memory
    let dataStart: Int
  }

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
    tensors = header.tensors
    metadata = header.metadata
    places = Dictionary(
      header.tensors.map { ($0.name, Place(tensor: $0, memory: memory, dataStart: header.dataStart)) },
      uniquingKeysWith: { first, _ in first })
    parts = [
      Part(
        path: path, checksum: header.metadata[Safetensors.checksumKey], memory: memory, dataStart: header.dataStart)
    ]
  }

  /// The tensors of several files as those of one: how large models are split.
  ///
  /// - Parameter path: What they are called in messages.
  /// - Throws: ``SafetensorsError`` where two files have a tensor of one name.
  public init(joining files: [SafetensorsFile], path: String) throws(SafetensorsError) {
    var places: [String: Place] = [:]
    for file in files {
      for (name, place) in file.places where places.updateValue(place, forKey: name) != nil {
        throw SafetensorsError(file: file.path, problem: .duplicateName(name))
      }
    }
    self.path = path
    self.places = places
    parts = files.flatMap(\.parts)
    tensors = files.flatMap(\.tensors)
    metadata = files.reduce(into: [:]) { all, file in all.merge(file.metadata) { first, _ in first } }
  }

  /// The tensor of that name, if there is one.
  public subscript(name: String) -> StoredTensor? { places[name]?.tensor }

  /// The values of a tensor stored as F32, F16, BF16 or F64, in row-major order.
  ///
  /// - Throws: ``SafetensorsError`` where the name is absent or the type is another.
  public func floats(_ name: String) throws(SafetensorsError) -> [Float] {
    let place = try place(name, types: StoredType.floats)
    return [Float](unsafeUninitializedCapacity: place.tensor.count) { values, count in
      copy(place, to: values)
      count = place.tensor.count
    }
  }

  /// The values of a tensor stored as I64, I32 or U8, in row-major order.
  ///
  /// - Throws: ``SafetensorsError`` where the name is absent or the type is another.
  public func integers(_ name: String) throws(SafetensorsError) -> [Int] {
    let place = try place(name, types: StoredType.integers)
    let (tensor, bytes) = (place.tensor, bytes(of: place))
    return (0..<tensor.count).map { i in
      switch tensor.type {
      case .i64: Int(Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: i * 8, as: Int64.self)))
      case .i32: Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: i * 4, as: Int32.self)))
      default: Int(bytes[i])
      }
    }
  }

  /// What is stored under a name, where ``floats(_:)`` can read it; nothing of it is read yet.
  ///
  /// - Throws: ``SafetensorsError`` where the name is absent or the type is another.
  public func floating(_ name: String) throws(SafetensorsError) -> StoredTensor {
    try place(name, types: StoredType.floats).tensor
  }

  private func place(_ name: String, types: [StoredType]) throws(SafetensorsError) -> Place {
    guard let place = places[name] else {
      throw SafetensorsError(file: path, problem: .missing(tensor: name, present: tensors.map(\.name)))
    }
    guard types.contains(place.tensor.type) else {
      throw SafetensorsError(file: path, problem: .unreadable(tensor: name, type: place.tensor.type, readable: types))
    }
    return place
  }

  /// Holds the values against the checksum that the metadata say, where they do: reads all of the file.
  ///
  /// - Throws: ``SafetensorsError`` where they differ.
  public func verify() throws(SafetensorsError) {
    for part in parts {
      guard let wanted = part.checksum else { continue }
      var checksum = CRC32C()
      checksum.add(UnsafeRawBufferPointer(rebasing: part.memory.bytes[part.dataStart...]))
      let found = Manifest.text(checksum.value)
      guard found == wanted else {
        throw SafetensorsError(file: part.path, problem: .checksum(expected: wanted, found: found))
      }
    }
  }

  /// The file need not be aligned (older writers did not pad the header), so elements are loaded unaligned.
  private func copy(_ place: Place, to values: UnsafeMutableBufferPointer<Float>) {
    let (tensor, bytes) = (place.tensor, bytes(of: place))
    func load<Bits: FixedWidthInteger>(_: Bits.Type, _ i: Int) -> Bits {
      Bits(littleEndian: bytes.loadUnaligned(fromByteOffset: i * MemoryLayout<Bits>.size, as: Bits.self))
    }
    switch tensor.type {
    case .f32: fill(values, tensor.count) { Float(bitPattern: load(UInt32.self, $0)) }
    case .f64: fill(values, tensor.count) { Float(Double(bitPattern: load(UInt64.self, $0))) }
    case .f16: fill(values, tensor.count) { Float(Float16(bitPattern: load(UInt16.self, $0))) }
    case .bf16: fill(values, tensor.count) { BFloat16.widen(load(UInt16.self, $0)) }
    default: preconditionFailure("\(tensor.type) is not a float")  // place(_:types:) has checked
    }
  }

  private func fill(_ values: UnsafeMutableBufferPointer<Float>, _ count: Int, with value: (Int) -> Float) {
    for i in 0..<count { values.initializeElement(at: i, to: value(i)) }
  }

  private func bytes(of place: Place) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: place.memory.bytes[place.tensor.bytes.shifted(by: place.dataStart)])
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
