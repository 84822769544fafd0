/// XLA's `CompileOptionsProto`, serialised by hand: three of its fields are all that is needed.
struct CompileOptions: Hashable {
  /// Devices that run the same program, each on its part of a batch.
  var replicas = 1
  /// Flags of the compiler for this program alone, by the names that `XLA_FLAGS` has.
  var flags: [String: PJRTOption] = [:]

  var serialized: [UInt8] {
    // executable_build_options (3) { num_replicas (4), num_partitions (5) }
    var result = message(3, number(4, replicas) + number(5, 1))
    // env_option_overrides (7): a map of name (1) to value (2) { string (1), bool (2), int64 (3), double (4) }
    for (name, option) in flags.sorted(by: { $0.key < $1.key }) {
      let value: [UInt8] =
        switch option {
        case .string(let string): message(1, Array(string.utf8))
        case .bool(let bool): number(2, bool ? 1 : 0)
        case .integer(let integer): number(3, integer)
        case .float(let float): [4 << 3 | 1] + withUnsafeBytes(of: Double(float).bitPattern.littleEndian) { Array($0) }
        }
      result += message(7, message(1, Array(name.utf8)) + message(2, value))
    }
    return result
  }

  private func number(_ field: Int, _ value: Int) -> [UInt8] { varint(field << 3) + varint(value) }
  private func message(_ field: Int, _ body: [UInt8]) -> [UInt8] { varint(field << 3 | 2) + varint(body.count) + body }

  /// Seven bits a byte, the lowest first; the eighth says that more follow.
  private func varint(_ value: Int) -> [UInt8] {
    var rest = UInt64(bitPattern: Int64(value))
    var bytes: [UInt8] = []
    repeat {
      bytes.append(UInt8(rest & 0x7F) | (rest > 0x7F ? 0x80 : 0))
      rest >>= 7
    } while rest > 0
    return bytes
  }
}
