import CPJRT

/// A plugin's table of functions, and how they are called: each takes one struct and returns null or an error that the caller frees.
///
/// The table is read in place and never copied: that of an older plugin is shorter than the header's.
struct PJRTTable: @unchecked Sendable {
  /// The plugin's file, for errors.
  let path: String
  let version: (major: Int, minor: Int)
  private let start: UnsafeRawPointer
  private let size: Int

  init(_ api: UnsafePointer<PJRT_Api>, path: String) {
    self.path = path
    start = UnsafeRawPointer(api)
    size = api.pointer(to: \.struct_size)?.pointee ?? 0
    let found = api.pointer(to: \.pjrt_api_version)?.pointee ?? PJRT_Api_Version()
    version = (Int(found.major_version), Int(found.minor_version))
  }

  /// Calls the function whose argument is an `Arguments`, and gives the struct back with what it has written.
  @discardableResult
  func call<Arguments: PJRTArguments>(
    _ type: Arguments.Type, _ fill: (inout Arguments) -> Void
  ) throws(XLAError) -> Arguments {
    guard let address = address(of: Arguments.function) else {
      throw error(name(of: type), code: PJRT_Error_Code_UNIMPLEMENTED, "not in PJRT \(version.major).\(version.minor)")
    }
    typealias Function = @convention(c) (UnsafeMutableRawPointer) -> OpaquePointer?
    var arguments = Arguments(fill)
    let function = unsafeBitCast(address, to: Function.self)
    guard let failure = withUnsafeMutablePointer(to: &arguments, { function($0) }) else { return arguments }
    throw take(failure, of: name(of: type))
  }

  /// Calls a function that frees something. That it fails helps nobody.
  func free<Arguments: PJRTArguments>(_ type: Arguments.Type, _ fill: (inout Arguments) -> Void) {
    _ = try? call(type, fill)
  }

  /// Waits for an event and frees it.
  func wait(_ event: OpaquePointer?, of function: String) throws(XLAError) {
    guard let event else { return }
    defer { free(PJRT_Event_Destroy_Args.self) { $0.event = event } }
    do { try call(PJRT_Event_Await_Args.self) { $0.event = event } } catch {
      guard case .call(_, _, let code, let message) = error else { throw error }
      throw .call(function, plugin: path, code: code, message: message)
    }
  }

  /// What an error says; the error is freed.
  private func take(_ failure: OpaquePointer, of function: String) -> XLAError {
    // Both functions return nothing.
    typealias Procedure = @convention(c) (UnsafeMutableRawPointer) -> Void
    func run<Arguments: PJRTArguments>(_ arguments: inout Arguments) {
      guard let address = address(of: Arguments.function) else { return }
      let procedure = unsafeBitCast(address, to: Procedure.self)
      withUnsafeMutablePointer(to: &arguments) { procedure($0) }
    }
    var message = PJRT_Error_Message_Args { $0.error = failure }
    run(&message)
    let text = String(bytes: message.message, count: message.message_size)
    let code = (try? call(PJRT_Error_GetCode_Args.self) { $0.error = failure })?.code ?? PJRT_Error_Code_UNKNOWN
    var destroy = PJRT_Error_Destroy_Args { $0.error = failure }
    run(&destroy)
    return error(function, code: code, text)
  }

  func error(_ function: String, code: PJRT_Error_Code, _ message: String) -> XLAError {
    .call(function, plugin: path, code: Int(code.rawValue), message: message)
  }

  private func address(of function: PJRTFunction) -> UnsafeRawPointer? {
    guard let offset = MemoryLayout<PJRT_Api>.offset(of: function.entry), offset < size else { return nil }
    return start.load(fromByteOffset: offset, as: UnsafeRawPointer?.self)
  }

  /// `PJRT_Client_Create` of `PJRT_Client_Create_Args`.
  private func name<Arguments>(of type: Arguments.Type) -> String { String("\(type)".dropLast("_Args".count)) }
}

extension String {
  /// Text that C gives by its start and length.
  init(bytes start: UnsafePointer<CChar>?, count: Int) {
    self.init(decoding: UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : count), as: UTF8.self)
  }
}
