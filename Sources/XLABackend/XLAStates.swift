import TensorGraph
import Threads

/// States on accelerators, each on every device that shares a batch. A run takes their memory for the values that replace them.
public final class XLAStates: States {
  /// Of each state, by name.
  public let types: [String: TensorType]
  /// On one device.
  public var byteCount: Int { types.values.reduce(0) { $0 + 4 * $1.shape.count } }

  let client: PJRTClient
  let indices: [Int]
  /// The present buffers by name, one a device; none for a state that is zero still. Locked while a run replaces them.
  private let buffers = Monitor<[String: [PJRTBuffer]]>([:])

  init(for programs: [Program], on backend: XLABackend) throws(ExecutionError) {
    types = try Program.stateTypes(of: programs)
    (client, indices) = (backend.client, backend.indices)
  }

  /// The first device's.
  public func read(_ name: String) throws -> TensorData { try read([name])[0] }

  /// The first device's; copies are started all at once.
  public func read(_ names: [String]) throws -> [TensorData] {
    let started = try buffers.change { buffers in
      try names.map { name in
        let storage = StateStorage(try type(of: name))
        return (storage, try current(name, &buffers).first.map { try PJRTBuffer.Reading(of: $0) })
      }
    }
    return try started.compactMap { storage, reading in try reading.map { storage.loaded(try $0.finish()) } }
  }

  /// Writes to every device.
  public func write(_ name: String, _ data: TensorData) throws {
    let stored = StateStorage(try type(of: name, accepting: data)).stored(data)
    let made = try indices.map { try client.buffer(stored, on: $0) }
    buffers.change { $0[name] = made }
  }

  /// Bytes on a device of what is not zero still.
  var allocatedByteCount: Int {
    buffers.change { $0.keys.reduce(0) { $0 + 4 * (types[$1]?.shape.count ?? 0) } }
  }

  /// Calls `body` with the buffers of `names`, one list a device, and replaces those of `updates` with what it gives first.
  func run(
    _ names: [String], replacing updates: [String], _ body: ([[PJRTBuffer]]) throws -> [[PJRTBuffer]]
  ) throws -> [[PJRTBuffer]] {
    try buffers.change { buffers in
      let all = try names.map { try current($0, &buffers) }
      let results = try body(indices.indices.map { device in all.map { $0[device] } })
      for (position, name) in updates.enumerated() { buffers[name] = results.map { $0[position] } }
      return results
    }
  }

  /// The buffers of a state, made of zeros where there are none.
  private func current(_ name: String, _ buffers: inout [String: [PJRTBuffer]]) throws -> [PJRTBuffer] {
    if let known = buffers[name] { return known }
    let stored = StateStorage(try type(of: name)).stored
    let made = try indices.map { try client.buffer(.zeros(stored), on: $0) }
    buffers[name] = made
    return made
  }
}

extension TensorData {
  fileprivate static func zeros(_ type: TensorType) -> TensorData {
    switch type.dtype {
    case .float: TensorData([Float](repeating: 0, count: type.shape.count), shape: type.shape)
    case .int32: TensorData([Int32](repeating: 0, count: type.shape.count), shape: type.shape)
    }
  }
}
