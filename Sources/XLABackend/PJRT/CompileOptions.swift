/// XLA's `CompileOptionsProto`, serialised by hand: few of its fields are needed.
package enum CompileOptions {
  /// - Parameters:
  ///   - devices: The numbers of the devices that run the program, each on its part of a batch.
  ///   - flags: XLA's own, that are on for this program alone.
  package static func serialized(devices: [Int], flags: [String] = []) -> [UInt8] {
    // DeviceAssignmentProto { replica_count (1), computation_count (2), computation_devices (3) { replica_device_ids (1) } }
    let assignment = number(1, devices.count) + number(2, 1) + message(3, devices.flatMap { number(1, $0) })
    // executable_build_options (3) { num_replicas (4), num_partitions (5), device_assignment (9) }
    let build = message(3, number(4, devices.count) + number(5, 1) + message(9, assignment))
    // env_option_overrides (7): a map of name (1) to OptionOverrideProto (2) { bool_field (2) }
    return flags.reduce(build) { $0 + message(7, message(1, Array($1.utf8)) + message(2, number(2, 1))) }
  }

  private static func number(_ field: Int, _ value: Int) -> [UInt8] { varint(field << 3) + varint(value) }
  private static func message(_ field: Int, _ body: [UInt8]) -> [UInt8] {
    varint(field << 3 | 2) + varint(body.count) + body
  }

  /// Seven bits a byte, the lowest first; the eighth says that more follow.
  private static func varint(_ value: Int) -> [UInt8] {
    value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7F) | 0x80] + varint(value >> 7)
  }
}
