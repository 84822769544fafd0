import CPJRT
import Synchronization

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A PJRT plugin: a shared library with one entry point, `GetPjrtApi`, that gives a table of C functions.
struct PJRTPlugin: Sendable {
  let table: PJRTTable
  /// What the plugin says of itself: `stablehlo_current_version`, `xla_version`, ….
  let attributes: [String: String]

  var path: String { table.path }

  /// The versions that decide what can be compiled: `PJRT 0.81, StableHLO 1.13.3`.
  var version: String {
    let stableHLO = attributes["stablehlo_current_version"].map { ", StableHLO \($0)" } ?? ""
    return "PJRT \(table.version.major).\(table.version.minor)\(stableHLO)"
  }

  /// Plugins by path. A library is opened and initialised once, and stays open: none supports being closed.
  private static let opened = Mutex<[String: PJRTPlugin]>([:])

  /// Opens the library at `path`, or gives the one that was opened before.
  static func open(_ path: String) throws(XLAError) -> PJRTPlugin {
    let result = opened.withLock { opened in
      Result { () throws(XLAError) in
        if let known = opened[path] { return known }
        let plugin = try PJRTPlugin(path)
        opened[path] = plugin
        return plugin
      }
    }
    return try result.get()
  }

  private init(_ path: String) throws(XLAError) {
    // The libraries log their start to standard error; 2 keeps errors.
    setenv("TF_CPP_MIN_LOG_LEVEL", "2", 0)
    guard let library = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
      throw .unusablePlugin(path: path, reason: dlerror().map { String(cString: $0) } ?? "it cannot be opened")
    }
    typealias Entry = @convention(c) () -> UnsafePointer<PJRT_Api>?
    guard let symbol = dlsym(library, "GetPjrtApi"), let api = unsafeBitCast(symbol, to: Entry.self)() else {
      throw .unusablePlugin(path: path, reason: "it has no GetPjrtApi")
    }
    table = PJRTTable(api, path: path)
    let (major, minor) = table.version
    guard major == PJRT_API_MAJOR else {
      throw .unusablePlugin(path: path, reason: "it speaks PJRT \(major).\(minor), this program PJRT \(PJRT_API_MAJOR)")
    }
    try table.call(PJRT_Plugin_Initialize_Args.self) { _ in }
    let found = try table.call(PJRT_Plugin_Attributes_Args.self) { _ in }
    let values = UnsafeBufferPointer(start: found.attributes, count: found.num_attributes)
    attributes = Dictionary(
      values.map { (String(bytes: $0.name, count: $0.name_size), $0.text) }, uniquingKeysWith: { first, _ in first })
  }
}

extension PJRT_NamedValue {
  fileprivate var text: String {
    switch type {
    case PJRT_NamedValue_kInt64: "\(int64_value)"
    case PJRT_NamedValue_kInt64List:
      UnsafeBufferPointer(start: int64_array_value, count: value_size).map(String.init).joined(separator: ".")
    case PJRT_NamedValue_kBool: "\(bool_value)"
    case PJRT_NamedValue_kFloat: "\(float_value)"
    default: String(bytes: string_value, count: value_size)
    }
  }
}
