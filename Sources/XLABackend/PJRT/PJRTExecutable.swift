import CPJRT
import TensorGraph

/// A compiled program on its devices.
package final class PJRTExecutable: @unchecked Sendable {
  private let client: PJRTClient
  private let handle: OpaquePointer
  private var plugin: PJRTPlugin { client.plugin }

  /// Compiles StableHLO text.
  convenience init(_ text: String, options: [UInt8], on client: PJRTClient) throws {
    let made = try Array(text.utf8).withUnsafeBytes { code in
      try options.withUnsafeBytes { options in
        try "mlir".withCString { format in
          let program = sized(PJRT_Program.self) {
            // Not written to, whatever the header's type says.
            $0.code = UnsafeMutablePointer(mutating: code.baseAddress?.assumingMemoryBound(to: CChar.self))
            $0.code_size = code.count
            $0.format = format
            $0.format_size = 4
          }
          return try withUnsafePointer(to: program) { program in
            try client.plugin.call(\.PJRT_Client_Compile, PJRT_Client_Compile_Args.self) {
              $0.client = client.handle
              $0.program = program
              $0.compile_options = options.baseAddress?.assumingMemoryBound(to: CChar.self)
              $0.compile_options_size = options.count
            }.executable
          }
        }
      }
    }
    try self.init(made, "PJRT_Client_Compile", client)
  }

  /// Loads what `serialized()` gave, by the same plugin for the same devices.
  convenience init(serialized bytes: [UInt8], on client: PJRTClient) throws {
    let made = try bytes.withUnsafeBytes { bytes in
      try client.plugin.call(\.PJRT_Executable_DeserializeAndLoad, PJRT_Executable_DeserializeAndLoad_Args.self) {
        $0.client = client.handle
        $0.serialized_executable = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
        $0.serialized_executable_size = bytes.count
      }.loaded_executable
    }
    try self.init(made, "PJRT_Executable_DeserializeAndLoad", client)
  }

  private init(_ handle: OpaquePointer?, _ function: String, _ client: PJRTClient) throws {
    guard let handle else { throw client.plugin.error(function, PJRT_Error_Code_INTERNAL, "no executable") }
    (self.client, self.handle) = (client, handle)
  }

  deinit {
    plugin.free(\.PJRT_LoadedExecutable_Destroy, PJRT_LoadedExecutable_Destroy_Args.self) { [handle] in
      $0.executable = handle
    }
  }

  // MARK: What the compiler made

  /// Bytes on each device: intermediate results, results that take no argument's place, and code.
  func memory() throws -> (temporary: Int, results: Int, code: Int) {
    try withExecutable { executable in
      let found = try plugin.call(
        \.PJRT_Executable_GetCompiledMemoryStats, PJRT_Executable_GetCompiledMemoryStats_Args.self
      ) { $0.executable = executable }
      return (
        Int(found.temp_size_in_bytes), Int(found.output_size_in_bytes - found.alias_size_in_bytes),
        Int(found.generated_code_size_in_bytes)
      )
    }
  }

  /// The machine code, for the same plugin and devices only.
  func serialized() throws -> [UInt8] {
    try withExecutable { executable in
      let found = try plugin.call(\.PJRT_Executable_Serialize, PJRT_Executable_Serialize_Args.self) {
        $0.executable = executable
      }
      defer { found.serialized_executable_deleter?(found.serialized_executable) }
      return Array(UnsafeRawBufferPointer(start: found.serialized_bytes, count: found.serialized_bytes_size))
    }
  }

  private func withExecutable<R>(_ body: (OpaquePointer?) throws -> R) throws -> R {
    let found = try plugin.call(
      \.PJRT_LoadedExecutable_GetExecutable, PJRT_LoadedExecutable_GetExecutable_Args.self
    ) { $0.loaded_executable = handle }
    defer {
      plugin.free(\.PJRT_Executable_Destroy, PJRT_Executable_Destroy_Args.self) { $0.executable = found.executable }
    }
    return try body(found.executable)
  }

  // MARK: Running

  /// Starts the program on all its devices and does not wait: the results are buffers that will hold the numbers.
  ///
  /// - Parameters:
  ///   - arguments: Of each device.
  ///   - results: The type of each result on a device.
  func execute(_ arguments: [[PJRTBuffer]], results: [TensorType]) throws -> [[PJRTBuffer]] {
    let width = arguments.first?.count ?? 0
    // One more than there are, so that neither list is empty and has no address.
    let inputs = arguments.joined().map { Optional($0.handle) } + [nil]
    var outputs = [OpaquePointer?](repeating: nil, count: arguments.count * results.count + 1)
    var options = sized(PJRT_ExecuteOptions.self) { _ in }
    try inputs.withUnsafeBufferPointer { inputs in
      try outputs.withUnsafeMutableBufferPointer { outputs in
        let inputLists = arguments.indices.map { device in inputs.baseAddress.map { $0 + device * width } }
        let outputLists = arguments.indices.map { device in outputs.baseAddress.map { $0 + device * results.count } }
        try inputLists.withUnsafeBufferPointer { inputLists in
          try outputLists.withUnsafeBufferPointer { outputLists in
            try withUnsafeMutablePointer(to: &options) { options in
              _ = try plugin.call(\.PJRT_LoadedExecutable_Execute, PJRT_LoadedExecutable_Execute_Args.self) {
                $0.executable = handle
                $0.options = options
                $0.argument_lists = inputLists.baseAddress
                $0.num_devices = inputLists.count
                $0.num_args = width
                $0.output_lists = outputLists.baseAddress
              }
            }
          }
        }
      }
    }
    // What is donated to the call must outlive it.
    return try withExtendedLifetime(arguments) {
      try arguments.indices.map { device in
        try results.enumerated().map { index, type in
          guard let handle = outputs[device * results.count + index] else {
            throw plugin.error("PJRT_LoadedExecutable_Execute", PJRT_Error_Code_INTERNAL, "no result \(index)")
          }
          return PJRTBuffer(client, handle, type)
        }
      }
    }
  }
}
