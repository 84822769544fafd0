/// A protocol-buffer message under construction: the few wire types that TensorBoard's events need.
struct ProtobufMessage {
  private(set) var bytes: [UInt8] = []

  /// A field of type double: wire type 1.
  mutating func add(_ field: Int, double value: Double) {
    key(field, wireType: 1)
    append(littleEndian: value.bitPattern)
  }

  /// A field of type float: wire type 5.
  mutating func add(_ field: Int, float value: Float) {
    key(field, wireType: 5)
    append(littleEndian: value.bitPattern)
  }

  /// A field of an integer or enumeration type: wire type 0.
  mutating func add(_ field: Int, integer value: Int) {
    key(field, wireType: 0)
    append(varint: UInt64(bitPattern: Int64(value)))
  }

  /// A field of type bytes: wire type 2.
  mutating func add(_ field: Int, bytes value: [UInt8]) {
    key(field, wireType: 2)
    append(varint: UInt64(value.count))
    bytes += value
  }

  mutating func add(_ field: Int, string value: String) { add(field, bytes: Array(value.utf8)) }

  /// A field that is a message itself.
  mutating func add(_ field: Int, build: (inout ProtobufMessage) -> Void) {
    var message = ProtobufMessage()
    build(&message)
    add(field, bytes: message.bytes)
  }

  private mutating func key(_ field: Int, wireType: UInt64) { append(varint: UInt64(field) << 3 | wireType) }

  private mutating func append(varint value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private mutating func append(littleEndian value: some FixedWidthInteger) {
    for shift in stride(from: 0, to: value.bitWidth, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
  }
}
