import CDNNL
import TensorGraph

/// How a tensor lies in memory, in oneDNN's terms.
final class DNNLDescriptor {
  let handle: ddpm_dnnl_desc

  init?(_ handle: ddpm_dnnl_desc?) {
    guard let handle else { return nil }
    self.handle = handle
  }

  convenience init?(_ shape: Shape, _ format: ddpm_dnnl_format) {
    self.init(ddpm_dnnl_desc_create(Int32(shape.rank), shape.dimensions.map(Int64.init), format))
  }

  deinit { ddpm_dnnl_desc_destroy(handle) }

  var byteCount: Int { ddpm_dnnl_desc_size(handle) }

  func isEqual(_ other: DNNLDescriptor) -> Bool { ddpm_dnnl_desc_equal(handle, other.handle) != 0 }
}

/// A compiled oneDNN operation. Its memory objects are made once and pointed at each run's buffers.
final class DNNLPrimitive {
  private let primitive: ddpm_dnnl_primitive
  private let engine: DNNLEngine
  /// The arguments in the order in which `run` takes their addresses.
  private var arguments: [dnnl_exec_arg_t] = []
  private let scratchpad: DNNLDescriptor?

  init(_ primitive: ddpm_dnnl_primitive, _ engine: DNNLEngine) {
    self.primitive = primitive
    self.engine = engine
    scratchpad = DNNLDescriptor(ddpm_dnnl_primitive_query(primitive, dnnl_query_scratchpad_md))
  }

  deinit {
    for argument in arguments { dnnl_memory_destroy(argument.memory) }
    ddpm_dnnl_primitive_destroy(primitive)
  }

  var descriptor: dnnl_primitive_desc_t? { primitive.desc }
  var scratchByteCount: Int { scratchpad?.byteCount ?? 0 }
  /// The implementation that oneDNN chose, e.g. "jit_wino:avx512_core".
  var implementation: String { String(cString: ddpm_dnnl_primitive_name(primitive)) }

  func query(_ what: dnnl_query_t) -> DNNLDescriptor? { DNNLDescriptor(ddpm_dnnl_primitive_query(primitive, what)) }

  /// Declares the arguments, in the order of `run`'s addresses.
  func bind(_ slots: [(slot: Int32, descriptor: DNNLDescriptor)]) throws(ExecutionError) {
    var slots = slots
    if let scratchpad, scratchpad.byteCount > 0 { slots.append((DNNL_ARG_SCRATCHPAD, scratchpad)) }
    for (slot, descriptor) in slots {
      var memory: dnnl_memory_t?
      // No data yet: `run` sets the address.
      try check(ddpm_dnnl_memory_create(&memory, descriptor.handle, engine.engine, nil), "oneDNN memory")
      arguments.append(dnnl_exec_arg_t(arg: slot, memory: memory))
    }
  }

  func run(_ addresses: [UnsafeMutableRawPointer], scratch: UnsafeMutableRawPointer) throws(ExecutionError) {
    for (index, argument) in arguments.enumerated() {
      let address = index < addresses.count ? addresses[index] : scratch
      try check(dnnl_memory_set_data_handle(argument.memory, address), implementation)
    }
    try check(
      dnnl_primitive_execute(primitive.primitive, engine.stream, Int32(arguments.count), arguments), implementation)
    try check(dnnl_stream_wait(engine.stream), implementation)
  }
}
