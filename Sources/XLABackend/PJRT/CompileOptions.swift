/// XLA's `CompileOptionsProto`, serialised by hand: few of its fields are needed.
struct CompileOptions: Hashable {
  /// The numbers of the devices that run the program, each on its part of a batch.
  var devices: [Int]
  /// Flags of the compiler for this program alone, by the names that `XLA_FLAGS` has.
  var flags: [String: PJRTOption] = [:]

  var serialized: [UInt8] {
    // DeviceAssignmentProto { replica_count (1), computation_count (2), computation_devices (3) { replica_device_ids (1) } }
    let assignment = number(1, devices.count) + number(2, 1) + message(3, devices.flatMap { number(1, $0) })
    // executable_build_options (3) { num_replicas (4), num_partitions (5), device_assignment (9) }
    var result = message(3, number(4, devices.count) + number(5, 1) + message(9, assignment))
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
