import CDNNL
import TensorGraph

/// oneDNN's engine and stream: one of each for the process. Primitives are made on the engine's thread; during a run its team executes some, each
/// thread its own, for which a stream of the processor keeps nothing.
struct DNNLEngine: @unchecked Sendable {
  let engine: dnnl_engine_t
  let stream: dnnl_stream_t

  /// Made at first use, once.
  private static let made: Result<DNNLEngine, ExecutionError> = {
    do throws(ExecutionError) { return .success(try DNNLEngine()) } catch { return .failure(error) }
  }()

  /// For making primitives: there is room for their code.
  static func shared() throws(ExecutionError) -> DNNLEngine {
    try AlignedMemory.checkHeadroom()
    return try made.get()
  }

  private init() throws(ExecutionError) {
    var engine: dnnl_engine_t?
    var stream: dnnl_stream_t?
    try check(dnnl_engine_create(&engine, dnnl_cpu, 0), "oneDNN engine")
    try check(dnnl_stream_create(&stream, engine, UInt32(dnnl_stream_default_flags.rawValue)), "oneDNN stream")
    guard let engine, let stream else {
      throw .library(operation: "oneDNN engine", message: "was not made; is the library complete?")
    }
    self.engine = engine
    self.stream = stream
  }

  /// The version of the library that is running, e.g. "2.6.3".
  static var version: String {
    guard let version = dnnl_version()?.pointee else { return "unknown" }
    return "\(version.major).\(version.minor).\(version.patch)"
  }
}

/// Turns oneDNN's status into an error that names the operation.
func check(_ status: dnnl_status_t, _ operation: @autoclosure () -> String) throws(ExecutionError) {
  guard status != dnnl_success else { return }
  let message =
    switch status {
    case dnnl_out_of_memory: "oneDNN is out of memory"
    case dnnl_invalid_arguments: "oneDNN refused the arguments"
    case dnnl_unimplemented: "oneDNN has no implementation for this shape on this processor"
    default: "oneDNN failed with status \(status.rawValue)"
    }
  throw .library(operation: operation(), message: message)
}
