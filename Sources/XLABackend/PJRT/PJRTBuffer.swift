import CPJRT
import TensorGraph

/// A tensor on a device. Freed with its last reference, also where an execution has taken its memory.
final class PJRTBuffer: @unchecked Sendable {
  let client: PJRTClient
  let handle: OpaquePointer
  let type: TensorType

  init(_ client: PJRTClient, _ handle: OpaquePointer, _ type: TensorType) {
    (self.client, self.handle, self.type) = (client, handle, type)
  }

  deinit { client.plugin.free(\.PJRT_Buffer_Destroy, PJRT_Buffer_Destroy_Args.self) { [handle] in $0.buffer = handle } }

  /// A copy to the host that is under way: start many, then finish them, and the device is waited for once.
  final class Reading {
    private let buffer: PJRTBuffer
    private let bytes: UnsafeMutableRawBufferPointer
    private var event: OpaquePointer?

    init(of buffer: PJRTBuffer) throws {
      self.buffer = buffer
      let shape = buffer.type.shape
      bytes = .allocate(byteCount: 4 * shape.count, alignment: 16)
      // Row-major: without a host layout the numbers would come in the device's own order.
      let order = (0..<shape.rank).reversed().map(Int64.init)
      event = try order.withUnsafeBufferPointer { [bytes] order in
        var layout = sized(PJRT_Buffer_MemoryLayout.self) {
          $0.type = PJRT_Buffer_MemoryLayout_Type_Tiled
          $0.tiled = sized(PJRT_Buffer_MemoryLayout_Tiled.self) {
            $0.minor_to_major = order.baseAddress
            $0.minor_to_major_size = order.count
          }
        }
        return try withUnsafeMutablePointer(to: &layout) { layout in
          try buffer.client.plugin.call(\.PJRT_Buffer_ToHostBuffer, PJRT_Buffer_ToHostBuffer_Args.self) {
            $0.src = buffer.handle
            $0.host_layout = layout
            $0.dst = bytes.baseAddress
            $0.dst_size = bytes.count
          }.event
        }
      }
    }

    deinit {
      // The device may still be writing.
      try? wait()
      bytes.deallocate()
    }

    func finish() throws -> TensorData {
      try wait()
      let shape = buffer.type.shape
      switch buffer.type.dtype {
      case .float: return TensorData(Array(bytes.bindMemory(to: Float.self)), shape: shape)
      case .int32: return TensorData(Array(bytes.bindMemory(to: Int32.self)), shape: shape)
      }
    }

    private func wait() throws {
      defer { event = nil }
      try buffer.client.plugin.wait(event)
    }
  }
}
