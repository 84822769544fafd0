import CPJRT
import TensorGraph

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A number or a text by name: what a client is created with, or a flag of the compiler.
enum PJRTOption: Hashable, Sendable {
  case string(String), integer(Int), bool(Bool), float(Float)
}

/// The devices of a plugin that this process may use. Buffers and executables hold it, so that it is destroyed after them.
///
/// The C API is safe to call from several threads; nothing here changes after `init`.
final class PJRTClient: @unchecked Sendable {
  let plugin: PJRTPlugin
  let devices: [Device]
  /// `cpu`, `cuda`, `tpu`, ….
  let platform: String
  /// The compiler's version, as far as the plugin tells.
  let platformVersion: String
  let handle: OpaquePointer
  var table: PJRTTable { plugin.table }

  struct Device {
    let handle: OpaquePointer
    /// The number by which a program's devices are assigned.
    let id: Int
    /// `NVIDIA H200`, `cpu`, ….
    let kind: String
  }

  init(_ plugin: PJRTPlugin, options: [String: PJRTOption]) throws(XLAError) {
    self.plugin = plugin
    let table = plugin.table
    let created = try withNamedValues(options) { (values) throws(XLAError) in
      try table.call(PJRT_Client_Create_Args.self) {
        $0.create_options = values.baseAddress
        $0.num_options = values.count
      }
    }
    guard let client = created.client else {
      throw table.error("PJRT_Client_Create", code: PJRT_Error_Code_INTERNAL, "gave no client")
    }
    handle = client
    do {
      let name = try table.call(PJRT_Client_PlatformName_Args.self) { $0.client = client }
      platform = String(bytes: name.platform_name, count: name.platform_name_size)
      let version = try table.call(PJRT_Client_PlatformVersion_Args.self) { $0.client = client }
      platformVersion = String(bytes: version.platform_version, count: version.platform_version_size)
      let found = try table.call(PJRT_Client_AddressableDevices_Args.self) { $0.client = client }
      var devices: [Device] = []
      for index in 0..<found.num_addressable_devices {
        guard let device = found.addressable_devices?[index] else { continue }
        let description = try table.call(PJRT_Device_GetDescription_Args.self) { $0.device = device }
        let kind = try table.call(PJRT_DeviceDescription_Kind_Args.self) {
          $0.device_description = description.device_description
        }
        let id = try table.call(PJRT_DeviceDescription_Id_Args.self) {
          $0.device_description = description.device_description
        }
        devices.append(
          Device(
            handle: device, id: Int(id.id), kind: String(bytes: kind.device_kind, count: kind.device_kind_size)))
      }
      self.devices = devices
    } catch {
      table.free(PJRT_Client_Destroy_Args.self) { $0.client = client }
      throw error
    }
  }

  deinit { table.free(PJRT_Client_Destroy_Args.self) { [handle] in $0.client = handle } }

  /// The bytes that a device has and that are taken; nil where the plugin does not tell.
  func memory(of device: Int) -> (limit: Int, used: Int)? {
    let found = try? table.call(PJRT_Device_MemoryStats_Args.self) { $0.device = devices[device].handle }
    guard let found, found.bytes_limit_is_set else { return nil }
    return (Int(found.bytes_limit), Int(found.bytes_in_use))
  }

  /// Copies numbers in row-major order to a device. `data` may be freed when this returns; the copy may still be under way.
  func buffer(_ data: TensorData, on device: Int) throws(XLAError) -> PJRTBuffer {
    let dimensions = data.shape.dimensions.map(Int64.init)
    let made = data.withBytes { bytes in
      dimensions.withUnsafeBufferPointer { dimensions in
        Result { () throws(XLAError) in
          let made = try table.call(PJRT_Client_BufferFromHostBuffer_Args.self) {
            $0.client = handle
            $0.data = bytes.baseAddress
            $0.type = data.type.dtype == .float ? PJRT_Buffer_Type_F32 : PJRT_Buffer_Type_S32
            $0.dims = dimensions.baseAddress
            $0.num_dims = dimensions.count
            $0.host_buffer_semantics = PJRT_HostBufferSemantics_kImmutableOnlyDuringCall
            $0.device = devices[device].handle
          }
          try table.wait(made.done_with_host_buffer, of: "PJRT_Client_BufferFromHostBuffer")
          return made.buffer
        }
      }
    }
    guard let buffer = try made.get() else {
      throw table.error("PJRT_Client_BufferFromHostBuffer", code: PJRT_Error_Code_INTERNAL, "gave no buffer")
    }
    return PJRTBuffer(self, buffer, data.type)
  }
}

extension TensorData {
  /// The elements as they lie in memory.
  fileprivate func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    switch scalars {
    case .float(let floats): floats.withUnsafeBytes(body)
    case .int32(let integers): integers.withUnsafeBytes(body)
    }
  }
}

/// Calls `body` with C structs of the options; they and their texts live as long as it runs.
private func withNamedValues<R>(
  _ options: [String: PJRTOption], _ body: (UnsafeBufferPointer<PJRT_NamedValue>) throws(XLAError) -> R
) throws(XLAError) -> R {
  var texts: [UnsafeMutablePointer<CChar>] = []
  func keep(_ text: String) -> UnsafePointer<CChar>? {
    guard let copy = strdup(text) else { return nil }
    texts.append(copy)
    return UnsafePointer(copy)
  }
  let values = UnsafeMutableBufferPointer<PJRT_NamedValue>.allocate(capacity: options.count)
  defer {
    values.deallocate()
    texts.forEach { free($0) }
  }
  // In a fixed order, so that two runs do the same.
  for (index, option) in options.sorted(by: { $0.key < $1.key }).enumerated() {
    var value = PJRT_NamedValue()
    value.struct_size = Int(PJRT_NamedValue_STRUCT_SIZE)
    value.name = keep(option.key)
    value.name_size = option.key.utf8.count
    value.value_size = 1
    switch option.value {
    case .string(let string):
      value.type = PJRT_NamedValue_kString
      value.string_value = keep(string)
      value.value_size = string.utf8.count
    case .integer(let integer):
      value.type = PJRT_NamedValue_kInt64
      value.int64_value = Int64(integer)
    case .bool(let bool):
      value.type = PJRT_NamedValue_kBool
      value.bool_value = bool
    case .float(let float):
      value.type = PJRT_NamedValue_kFloat
      value.float_value = float
    }
    values.initializeElement(at: index, to: value)
  }
  return try body(UnsafeBufferPointer(values))
}
