/// Where one tensor lies in a safetensors file.
public struct StoredTensor: Equatable, Sendable {
  /// Unique in its file.
  public let name: String
  /// Outermost dimension first; [] for a scalar.
  public let shape: [Int]
  /// How its elements are stored.
  public let type: StoredType
  /// Its bytes, counted from the end of the header.
  public let bytes: Range<Int>

  /// The number of elements.
  public var count: Int { bytes.count / type.size }
}

/// The checked contents of a header: every tensor lies within the data, none overlap, and no byte is left over.
struct SafetensorsHeader {
  /// In the order of their bytes.
  var tensors: [StoredTensor]
  var metadata: [String: String]
  /// Where the data starts in the file.
  var dataStart: Int

  /// Some 100,000 tensors. The format allows 100 MB, of which a hostile file would make gigabytes.
  static let longest = 16 << 20

  /// - Parameter file: The bytes of the whole file.
  init(checking file: UnsafeRawBufferPointer) throws(SafetensorsError.Problem) {
    // 8 bytes: the header's length, little-endian.
    guard file.count >= 8 else { throw .tooShort(bytes: file.count) }
    let length = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
    guard length <= UInt64(file.count - 8) else { throw .headerLength(length, available: file.count - 8) }
    guard length <= UInt64(Self.longest) else { throw .longHeader(length, limit: Self.longest) }
    dataStart = 8 + Int(length)

    let header: JSONValue
    do { header = try JSONValue(parsing: Array(file[8..<dataStart])) } catch { throw .headerJSON(error) }
    guard case .object(var members) = header else { throw .headerShape("it is \(header.kind), not an object") }

    metadata = try Self.metadata(members.removeValue(forKey: "__metadata__"))
    let available = file.count - dataStart
    var found: [StoredTensor] = []
    for (name, value) in members { found.append(try Self.tensor(name, value, available: available)) }
    // Empty tensors share their place with the next one, so they come first; then by name, for a settled order.
    tensors = found.sorted {
      ($0.bytes.lowerBound, $0.bytes.upperBound, $0.name) < ($1.bytes.lowerBound, $1.bytes.upperBound, $1.name)
    }
    try Self.checkTiling(tensors, available: available)
  }

  /// The tensors must follow each other from the first byte to the last.
  private static func checkTiling(_ tensors: [StoredTensor], available: Int) throws(SafetensorsError.Problem) {
    var end = 0
    var previous = ""
    for tensor in tensors {
      if tensor.bytes.lowerBound < end {
        throw .overlap(tensor: tensor.name, with: previous, at: tensor.bytes.lowerBound)
      }
      if tensor.bytes.lowerBound > end { throw .gap(before: tensor.name, from: end, to: tensor.bytes.lowerBound) }
      end = tensor.bytes.upperBound
      previous = tensor.name
    }
    if end != available { throw .trailing(from: end, available: available) }
  }

  private static func metadata(_ value: JSONValue?) throws(SafetensorsError.Problem) -> [String: String] {
    guard let value else { return [:] }
    guard let members = value.object else { throw .headerShape("__metadata__ is \(value.kind), not an object") }
    var metadata: [String: String] = [:]
    for (key, value) in members {
      guard let text = value.string else {
        throw .headerShape("__metadata__ entry \(quoted(key)) is \(value.kind), not a string")
      }
      metadata[key] = text
    }
    return metadata
  }

  private static func tensor(
    _ name: String, _ value: JSONValue, available: Int
  ) throws(SafetensorsError.Problem) -> StoredTensor {
    guard let members = value.object else { throw .headerShape("\(quoted(name)) is \(value.kind), not an object") }
    guard Set(members.keys) == ["dtype", "shape", "data_offsets"] else {
      let keys = list(members.keys.sorted().map(quoted))
      throw .headerShape("\(quoted(name)) should have dtype, shape and data_offsets; it has \(keys)")
    }
    guard let typeName = members["dtype"]?.string else { throw .headerShape("\(quoted(name)).dtype is no string") }
    guard let type = StoredType(rawValue: typeName) else { throw .unknownType(tensor: name, type: typeName) }
    guard let shape = naturals(members["shape"]) else {
      throw .headerShape("\(quoted(name)).shape is no list of integers from 0 up")
    }
    guard let offsets = naturals(members["data_offsets"]), offsets.count == 2 else {
      throw .headerShape("\(quoted(name)).data_offsets is no pair of integers from 0 up")
    }
    guard offsets[0] <= offsets[1], offsets[1] <= available else {
      throw .offsets(tensor: name, begin: offsets[0], end: offsets[1], available: available)
    }
    guard let size = byteCount(shape: shape, type: type) else { throw .tooLarge(tensor: name, shape: shape) }
    guard size == offsets[1] - offsets[0] else {
      throw .size(tensor: name, shape: shape, type: type, expected: size, found: offsets[1] - offsets[0])
    }
    return StoredTensor(name: name, shape: shape, type: type, bytes: offsets[0]..<offsets[1])
  }

  private static func naturals(_ value: JSONValue?) -> [Int]? {
    guard let elements = value?.array else { return nil }
    let integers = elements.compactMap(\.integer)
    return integers.count == elements.count && integers.allSatisfy { $0 >= 0 } ? integers : nil
  }

  /// The product of the dimensions and the element size, or nil where it overflows.
  static func byteCount(shape: [Int], type: StoredType) -> Int? {
    var product = type.size
    for dimension in shape {
      let (next, overflow) = product.multipliedReportingOverflow(by: dimension)
      if overflow { return nil }
      product = next
    }
    return product
  }
}
