import CPJRT
import Platform
import Threads

/// A PJRT plugin: a shared library with one entry point, `GetPjrtApi`, that gives a table of C functions.
///
/// The table is read in place and never copied: that of an older plugin is shorter than the header's.
package struct PJRTPlugin: @unchecked Sendable {
  let path: String
  private let table: UnsafeRawPointer
  private let tableSize: Int
  private let protocolVersion: String
  private var stableHLO: String?

  /// The versions that decide what can be compiled: `PJRT 0.81, StableHLO 1.13.3`.
  var version: String { "PJRT \(protocolVersion)\(stableHLO.map { ", StableHLO \($0)" } ?? "")" }

  /// Plugins by path. A library is opened and initialised once, and stays open: none supports being closed.
  private static let opened = Monitor<[String: PJRTPlugin]>([:])

  /// Opens the library at `path`, or gives the one that was opened before.
  static func open(_ path: String) throws -> PJRTPlugin {
    try opened.change { opened in
      if let known = opened[path] { return known }
      let plugin = try PJRTPlugin(path)
      opened[path] = plugin
      return plugin
    }
  }

  private init(_ path: String) throws {
    self.path = path
    // The libraries log their start to standard error; 2 keeps errors.
    setenv("TF_CPP_MIN_LOG_LEVEL", "2", 0)
    guard let library = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
      throw XLAError.unusablePlugin(path: path, reason: dlerror().map { String(cString: $0) } ?? "it cannot be opened")
    }
    typealias Entry = @convention(c) () -> UnsafePointer<PJRT_Api>?
    guard let symbol = dlsym(library, "GetPjrtApi"), let api = unsafeBitCast(symbol, to: Entry.self)() else {
      throw XLAError.unusablePlugin(path: path, reason: "it has no GetPjrtApi")
    }
    table = UnsafeRawPointer(api)
    tableSize = api.pointer(to: \.struct_size)?.pointee ?? 0
    let version = api.pointer(to: \.pjrt_api_version)?.pointee ?? PJRT_Api_Version()
    protocolVersion = "\(version.major_version).\(version.minor_version)"
    guard version.major_version == PJRT_API_MAJOR else {
      throw XLAError.unusablePlugin(path: path, reason: "it speaks PJRT \(protocolVersion), this program PJRT 0")
    }
    try call(\.PJRT_Plugin_Initialize, PJRT_Plugin_Initialize_Args.self) { _ in }
    let found = try call(\.PJRT_Plugin_Attributes, PJRT_Plugin_Attributes_Args.self) { _ in }
    for attribute in UnsafeBufferPointer(start: found.attributes, count: found.num_attributes)
    where String(attribute.name, attribute.name_size) == "stablehlo_current_version"
      && attribute.type == PJRT_NamedValue_kInt64List
    {
      let numbers = UnsafeBufferPointer(start: attribute.int64_array_value, count: attribute.value_size)
      stableHLO = numbers.map(String.init).joined(separator: ".")
    }
  }

  // MARK: Calls

  /// Calls a function: it takes one struct and gives null or an error, which is freed here.
  ///
  /// - Returns: The struct with what the function has written into it.
  @discardableResult
  func call<Arguments>(
    _ function: PartialKeyPath<PJRT_Api>, _ type: Arguments.Type, _ fill: (inout Arguments) -> Void
  ) throws -> Arguments {
    // `PJRT_Client_Create` of `PJRT_Client_Create_Args`
    let name = String("\(type)".dropLast("_Args".count))
    guard let address = address(of: function) else {
      throw error(name, PJRT_Error_Code_UNIMPLEMENTED, "the plugin's PJRT \(protocolVersion) lacks it")
    }
    typealias Function = @convention(c) (UnsafeMutableRawPointer) -> OpaquePointer?
    var arguments = sized(type, fill)
    let call = unsafeBitCast(address, to: Function.self)
    guard let failure = withUnsafeMutablePointer(to: &arguments, { call($0) }) else { return arguments }
    throw take(failure, of: name)
  }

  /// Calls a function that frees something. That it fails helps nobody.
  func free<Arguments>(
    _ function: PartialKeyPath<PJRT_Api>, _ type: Arguments.Type, _ fill: (inout Arguments) -> Void
  ) {
    _ = try? call(function, type, fill)
  }

  /// Waits for an event and frees it.
  func wait(_ event: OpaquePointer?) throws {
    guard let event else { return }
    defer { free(\.PJRT_Event_Destroy, PJRT_Event_Destroy_Args.self) { $0.event = event } }
    try call(\.PJRT_Event_Await, PJRT_Event_Await_Args.self) { $0.event = event }
  }

  func error(_ function: String, _ code: PJRT_Error_Code, _ message: String) -> XLAError {
    .call(function, plugin: path, code: Int(code.rawValue), message: message)
  }

  /// What an error says; the error is freed.
  private func take(_ failure: OpaquePointer, of function: String) -> XLAError {
    // Both functions give nothing.
    typealias Procedure = @convention(c) (UnsafeMutableRawPointer) -> Void
    func run<Arguments>(_ entry: PartialKeyPath<PJRT_Api>, _ arguments: inout Arguments) {
      guard let address = address(of: entry) else { return }
      withUnsafeMutablePointer(to: &arguments) { unsafeBitCast(address, to: Procedure.self)($0) }
    }
    var message = sized(PJRT_Error_Message_Args.self) { $0.error = failure }
    run(\.PJRT_Error_Message, &message)
    let text = String(message.message, message.message_size)
    let code = try? call(\.PJRT_Error_GetCode, PJRT_Error_GetCode_Args.self) { $0.error = failure }.code
    var destroy = sized(PJRT_Error_Destroy_Args.self) { $0.error = failure }
    run(\.PJRT_Error_Destroy, &destroy)
    return error(function, code ?? PJRT_Error_Code_UNKNOWN, text)
  }

  private func address(of function: PartialKeyPath<PJRT_Api>) -> UnsafeRawPointer? {
    guard let offset = MemoryLayout<PJRT_Api>.offset(of: function), offset < tableSize else { return nil }
    return table.load(fromByteOffset: offset, as: UnsafeRawPointer?.self)
  }
}

/// A struct of the API: zero but for its first field, its own size, by which caller and plugin of different versions understand each
/// other; then filled. The size may include padding, which is zero and owned as all the rest.
func sized<Struct>(_ type: Struct.Type, _ fill: (inout Struct) -> Void) -> Struct {
  var result = withUnsafeTemporaryAllocation(of: Struct.self, capacity: 1) { memory in
    let bytes = UnsafeMutableRawBufferPointer(memory)
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
    bytes.storeBytes(of: MemoryLayout<Struct>.size, as: Int.self)
    return memory[0]
  }
  fill(&result)
  return result
}

extension String {
  /// Text that C gives by its start and length.
  init(_ start: UnsafePointer<CChar>?, _ count: Int) {
    self.init(decoding: UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : count), as: UTF8.self)
  }
}
