import CPJRT
import TensorGraph

/// A compiled program on its devices.
final class PJRTExecutable: @unchecked Sendable {
  let client: PJRTClient
  private let handle: OpaquePointer
  private var table: PJRTTable { client.table }

  /// Compiles StableHLO text.
  convenience init(_ text: String, options: [UInt8], on client: PJRTClient) throws(XLAError) {
    var text = text
    let made = text.withUTF8 { code in
      options.withUnsafeBytes { options in
        "mlir".withCString { format in
          var program = PJRT_Program()
          program.struct_size = Int(PJRT_Program_STRUCT_SIZE)
          // Not written to, whatever the header's type says.
          program.code = code.baseAddress.map {
            UnsafeMutableRawPointer(mutating: $0).assumingMemoryBound(to: CChar.self)
          }
          program.code_size = code.count
          program.format = format
          program.format_size = 4
          return withUnsafePointer(to: program) { program in
            Result { () throws(XLAError) in
              try client.table.call(PJRT_Client_Compile_Args.self) {
                $0.client = client.handle
                $0.program = program
                $0.compile_options = options.baseAddress?.assumingMemoryBound(to: CChar.self)
                $0.compile_options_size = options.count
              }
            }
          }
        }
      }
    }
    try self.init(made.get().executable, "PJRT_Client_Compile", client)
  }

  /// Loads what `serialized()` gave, by the same plugin for the same devices.
  convenience init(serialized bytes: [UInt8], on client: PJRTClient) throws(XLAError) {
    let made = bytes.withUnsafeBytes { bytes in
      Result { () throws(XLAError) in
        try client.table.call(PJRT_Executable_DeserializeAndLoad_Args.self) {
          $0.client = client.handle
          $0.serialized_executable = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
          $0.serialized_executable_size = bytes.count
        }
      }
    }
    try self.init(made.get().loaded_executable, "PJRT_Executable_DeserializeAndLoad", client)
  }

  private init(_ handle: OpaquePointer?, _ function: String, _ client: PJRTClient) throws(XLAError) {
    guard let handle else {
      throw client.table.error(function, code: PJRT_Error_Code_INTERNAL, "gave no executable")
    }
    (self.client, self.handle) = (client, handle)
  }

  deinit { table.free(PJRT_LoadedExecutable_Destroy_Args.self) { [handle] in $0.executable = handle } }

  // MARK: What the compiler made

  /// Bytes on each device.
  struct Memory: Equatable {
    var arguments = 0, results = 0, temporary = 0, code = 0
    /// Of the results, what takes the place of arguments.
    var aliased = 0
  }

  func memory() throws(XLAError) -> Memory {
    try withExecutable { (executable) throws(XLAError) in
      let found = try table.call(PJRT_Executable_GetCompiledMemoryStats_Args.self) { $0.executable = executable }
      return Memory(
        arguments: Int(found.argument_size_in_bytes), results: Int(found.output_size_in_bytes),
        temporary: Int(found.temp_size_in_bytes), code: Int(found.generated_code_size_in_bytes),
        aliased: Int(found.alias_size_in_bytes))
    }
  }

  /// The machine code, for the same plugin and devices only.
  func serialized() throws(XLAError) -> [UInt8] {
    try withExecutable { (executable) throws(XLAError) in
      let found = try table.call(PJRT_Executable_Serialize_Args.self) { $0.executable = executable }
      defer { found.serialized_executable_deleter?(found.serialized_executable) }
      return Array(UnsafeRawBufferPointer(start: found.serialized_bytes, count: found.serialized_bytes_size))
    }
  }

  private func withExecutable<R>(_ body: (OpaquePointer?) throws(XLAError) -> R) throws(XLAError) -> R {
    let found = try table.call(PJRT_LoadedExecutable_GetExecutable_Args.self) { $0.loaded_executable = handle }
    defer { table.free(PJRT_Executable_Destroy_Args.self) { $0.executable = found.executable } }
    return try body(found.executable)
  }

  // MARK: Running

  /// Starts the program on all its devices and does not wait: the results are buffers that will hold the numbers.
  ///
  /// - Parameters:
  ///   - arguments: Of each device.
  ///   - results: The type of each result on a device.
  func execute(_ arguments: [[PJRTBuffer]], results: [TensorType]) throws(XLAError) -> [[PJRTBuffer]] {
    let (devices, width) = (arguments.count, arguments.first?.count ?? 0)
    let inputs = arguments.flatMap { $0.map { Optional($0.handle) } }
    // One more than there are, so that neither list is empty and has no address.
    var outputs = [OpaquePointer?](repeating: nil, count: devices * results.count + 1)
    var options = PJRT_ExecuteOptions()
    options.struct_size = Int(PJRT_ExecuteOptions_STRUCT_SIZE)
    let done = (inputs + [nil]).withUnsafeBufferPointer { inputs in
      outputs.withUnsafeMutableBufferPointer { outputs in
        let inputLists = (0..<devices).map { device in inputs.baseAddress.map { $0 + device * width } }
        let outputLists = (0..<devices).map { device in outputs.baseAddress.map { $0 + device * results.count } }
        return inputLists.withUnsafeBufferPointer { inputLists in
          outputLists.withUnsafeBufferPointer { outputLists in
            withUnsafeMutablePointer(to: &options) { options in
              Result { () throws(XLAError) in
                try table.call(PJRT_LoadedExecutable_Execute_Args.self) {
                  $0.executable = handle
                  $0.options = options
                  $0.argument_lists = inputLists.baseAddress
                  $0.num_devices = devices
                  $0.num_args = width
                  $0.output_lists = outputLists.baseAddress
                }
              }
            }
          }
        }
      }
    }
    // What was donated to the call must outlive it.
    try withExtendedLifetime(arguments) { () throws(XLAError) in _ = try done.get() }
    let made = outputs.dropLast().enumerated().map { index, handle in
      handle.map { PJRTBuffer(client, $0, results[index % results.count]) }
    }
    guard !made.contains(where: { $0 == nil }) else {
      throw table.error("PJRT_LoadedExecutable_Execute", code: PJRT_Error_Code_INTERNAL, "a result is missing")
    }
    let buffers = made.compactMap { $0 }
    return (0..<devices).map { Array(buffers[$0 * results.count..<($0 + 1) * results.count]) }
  }
}
