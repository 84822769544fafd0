import CPJRT
import TensorGraph
import Threads

/// The devices of a plugin that this process may use. Buffers and executables hold it, so that it is destroyed after them.
///
/// The C API is safe to call from several threads; nothing here changes after `init`.
package final class PJRTClient: @unchecked Sendable {
  let plugin: PJRTPlugin
  let handle: OpaquePointer
  /// Those of this process.
  package let devices: [Device]
  /// The numbers of the devices of all processes, by process.
  let deviceIDs: [[Int]]
  /// Called by the client as long as it lives.
  private let store: PJRTStore?
  /// `cpu`, `cuda`, `tpu`, ….
  let platform: String
  /// The compiler's version, as far as the plugin tells.
  let platformVersion: String

  package struct Device {
    let handle: OpaquePointer
    /// The number by which a program's devices are assigned.
    let id: Int
    /// `NVIDIA H200`, `cpu`, ….
    let kind: String
  }

  private init(_ plugin: PJRTPlugin, options: [String: PJRTOption], store: PJRTStore?) throws {
    self.plugin = plugin
    self.store = store
    let created = try withNamedValues(options) { values in
      try plugin.call(\.PJRT_Client_Create, PJRT_Client_Create_Args.self) {
        $0.create_options = values.baseAddress
        $0.num_options = values.count
        store?.answer(in: &$0)
      }.client
    }
    guard let client = created else { throw plugin.error("PJRT_Client_Create", PJRT_Error_Code_INTERNAL, "no client") }
    handle = client
    do {
      let name = try plugin.call(\.PJRT_Client_PlatformName, PJRT_Client_PlatformName_Args.self) { $0.client = client }
      platform = String(name.platform_name, name.platform_name_size)
      let version = try plugin.call(\.PJRT_Client_PlatformVersion, PJRT_Client_PlatformVersion_Args.self) {
        $0.client = client
      }
      platformVersion = String(version.platform_version, version.platform_version_size)
      let found = try plugin.call(\.PJRT_Client_AddressableDevices, PJRT_Client_AddressableDevices_Args.self) {
        $0.client = client
      }
      devices = try UnsafeBufferPointer(start: found.addressable_devices, count: found.num_addressable_devices)
        .compactMap { try $0.map { try Device($0, plugin) } }
      let all = try plugin.call(\.PJRT_Client_Devices, PJRT_Client_Devices_Args.self) { $0.client = client }
      var ids: [Int: [Int]] = [:]
      for case let device? in UnsafeBufferPointer(start: all.devices, count: all.num_devices) {
        let (process, id) = try plugin.place(of: device)
        ids[process, default: []].append(id)
      }
      deviceIDs = ids.sorted { $0.key < $1.key }.map { $0.value.sorted() }
    } catch {
      plugin.free(\.PJRT_Client_Destroy, PJRT_Client_Destroy_Args.self) { $0.client = client }
      throw error
    }
  }

  deinit { plugin.free(\.PJRT_Client_Destroy, PJRT_Client_Destroy_Args.self) { [handle] in $0.client = handle } }

  // MARK: One a process

  private struct Key: Hashable {
    var path: String
    var options: [String: PJRTOption]
  }
  private struct Weak { weak var client: PJRTClient? }
  private static let clients = Monitor<[Key: Weak]>([:])

  /// The process's client of the plugin at `path`: a second one would take the device's memory a second time.
  ///
  /// - Parameters:
  ///   - device: Of which kind it is.
  ///   - indices: The devices that will be used.
  ///   - cluster: The processes whose devices it reaches.
  static func shared(_ path: String, device: String, indices: [Int], cluster: XLACluster?) throws -> PJRTClient {
    let key = Key(path: path, options: PluginKind.clientOptions(for: device, indices: indices, cluster: cluster))
    return try clients.change { clients in
      if let known = clients[key]?.client { return known }
      if device == "cuda" { CUDALibraries.prepare(for: path) }
      let client = try PJRTClient(
        PJRTPlugin.open(path), options: key.options, store: cluster.map { PJRTStore($0.store) })
      clients[key] = Weak(client: client)
      return client
    }
  }

  // MARK: Memory

  /// The bytes that a device has and that are taken; nil where the plugin does not tell.
  func memory(of device: Int) -> (limit: Int, used: Int)? {
    let found = try? plugin.call(\.PJRT_Device_MemoryStats, PJRT_Device_MemoryStats_Args.self) {
      $0.device = devices[device].handle
    }
    guard let found, found.bytes_limit_is_set else { return nil }
    return (Int(found.bytes_limit), Int(found.bytes_in_use))
  }

  /// Copies numbers in row-major order to a device. `data` may be freed when this returns; the copy may still be under way.
  func buffer(_ data: TensorData, on device: Int) throws -> PJRTBuffer {
    let made = try data.shape.dimensions.map(Int64.init).withUnsafeBufferPointer { dimensions in
      try data.withBytes { bytes in
        let made = try plugin.call(\.PJRT_Client_BufferFromHostBuffer, PJRT_Client_BufferFromHostBuffer_Args.self) {
          $0.client = handle
          $0.data = bytes.baseAddress
          $0.type = data.type.dtype == .float ? PJRT_Buffer_Type_F32 : PJRT_Buffer_Type_S32
          $0.dims = dimensions.baseAddress
          $0.num_dims = dimensions.count
          $0.host_buffer_semantics = PJRT_HostBufferSemantics_kImmutableOnlyDuringCall
          $0.device = devices[device].handle
        }
        try plugin.wait(made.done_with_host_buffer)
        return made.buffer
      }
    }
    guard let made else {
      throw plugin.error("PJRT_Client_BufferFromHostBuffer", PJRT_Error_Code_INTERNAL, "no buffer")
    }
    return PJRTBuffer(self, made, data.type)
  }
}

extension PJRTPlugin {
  /// The process that a device belongs to, and its number.
  fileprivate func place(of device: OpaquePointer) throws -> (process: Int, id: Int) {
    let description = try call(\.PJRT_Device_GetDescription, PJRT_Device_GetDescription_Args.self) {
      $0.device = device
    }.device_description
    let process = try call(\.PJRT_DeviceDescription_ProcessIndex, PJRT_DeviceDescription_ProcessIndex_Args.self) {
      $0.device_description = description
    }.process_index
    let id = try call(\.PJRT_DeviceDescription_Id, PJRT_DeviceDescription_Id_Args.self) {
      $0.device_description = description
    }.id
    return (Int(process), Int(id))
  }
}

extension PJRTClient.Device {
  fileprivate init(_ device: OpaquePointer, _ plugin: PJRTPlugin) throws {
    handle = device
    let description = try plugin.call(\.PJRT_Device_GetDescription, PJRT_Device_GetDescription_Args.self) {
      $0.device = device
    }.device_description
    id = try plugin.place(of: device).id
    let kind = try plugin.call(\.PJRT_DeviceDescription_Kind, PJRT_DeviceDescription_Kind_Args.self) {
      $0.device_description = description
    }
    self.kind = String(kind.device_kind, kind.device_kind_size)
  }
}

extension TensorData {
  /// The elements as they lie in memory.
  fileprivate func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    switch scalars {
    case .float(let floats): try floats.withUnsafeBytes(body)
    case .int32(let integers): try integers.withUnsafeBytes(body)
    }
  }
}
