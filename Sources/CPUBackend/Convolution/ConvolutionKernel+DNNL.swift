import CDNNL
import CKernels
import TensorGraph

extension ConvolutionKernel {
  /// oneDNN's direct convolution, for every shape.
  static func dnnl(_ problem: ConvolutionProblem) throws(ExecutionError) -> ConvolutionKernel? {
    guard let plan = try DNNLConvolution(problem, accumulate: false) else { return nil }
    // Adding to the result is another primitive, which only forward has, and not where the result is reordered.
    let adding =
      problem.direction == .weightGradient ? nil : try DNNLConvolution(problem, accumulate: true)
    let byteCount = (problem.direction == .forward ? problem.output : problem.input).count * MemoryLayout<Float>.stride
    return ConvolutionKernel(
      algorithm: .direct, name: plan.name, packedByteCount: plan.packedByteCount,
      scratchByteCount: max(plan.scratchByteCount, adding?.scratchByteCount ?? 0), addsInPlace: adding != nil,
      pack: { w, packed, scratch in try plan.pack(w, packed, scratch) },
      run: { [adding] o, scratch in
        guard let addend = o.addend else { return try plan.run(o, scratch) }
        if let adding {
          if addend != o.target { UnsafeMutableRawPointer(o.target).copyMemory(from: addend, byteCount: byteCount) }
          try adding.run(o, scratch)
        } else {
          try plan.run(o, scratch)
          ck_accumulate(addend, o.target, byteCount / MemoryLayout<Float>.stride)
        }
      })
  }
}

/// A oneDNN convolution with the reorders between our layouts and those it wants.
///
/// It first asks for our own layouts. Where that gets no optimised implementation (channels that fill no block; AVX2 and
/// aarch64, whose blocks are smaller) the library chooses, and reorders stand at both ends.
private final class DNNLConvolution {
  /// An operand as we hold it and as the primitive wants it.
  private struct Operand {
    var slot: Int32
    var ours: DNNLDescriptor
    var theirs: DNNLDescriptor
    /// Between the two, in the direction in which the operand travels; nil where they are equal.
    var reorder: DNNLPrimitive?
    /// The bytes from the start of scratch, where there is a reorder.
    var offset = 0
  }

  private let primitive: DNNLPrimitive
  private let direction: ConvolutionProblem.Direction
  private var source: Operand
  /// The weights forward and for the input's gradient; dy for the weights' gradient.
  private var weights: Operand
  private var target: Operand
  /// The zero bias where the caller has none.
  private let biasSlot: Int32?
  private let outputs: Int
  private var reordersByteCount = 0
  private let innerScratch: Int

  var name: String { primitive.implementation }
  var packedByteCount: Int { direction != .weightGradient && weights.reorder != nil ? weights.theirs.byteCount : 0 }
  var scratchByteCount: Int {
    reordersByteCount + innerScratch + outputs * MemoryLayout<Float>.stride + MemoryPlanner.alignment
  }

  init?(_ problem: ConvolutionProblem, accumulate: Bool) throws(ExecutionError) {
    let engine = try DNNLEngine.shared()
    let format = { (layout: Layout) in layout == .blocked ? ddpm_dnnl_blocked_4d : ddpm_dnnl_plain_4d }
    let inputFormat = format(problem.inputLayout)
    let outputFormat = format(problem.outputLayout)
    let kernelFormat = problem.isBlocked ? ddpm_dnnl_kernel_16i16o : ddpm_dnnl_plain_4d
    // Ours first; then padded blocks, which serve channel counts that fill none; then whatever the library likes.
    let attempts = [
      (inputFormat, outputFormat), (inputFormat, ddpm_dnnl_blocked_4d), (ddpm_dnnl_blocked_4d, ddpm_dnnl_blocked_4d),
      (ddpm_dnnl_any, ddpm_dnnl_any),
    ]
    var found: DNNLPrimitive?
    for (inputs, outputs) in attempts {
      guard let primitive = try DNNLConvolution.primitive(problem, accumulate, inputs, outputs, engine) else {
        continue
      }
      if !primitive.implementation.hasPrefix("ref") {
        found = primitive
        break
      }
      found = found ?? primitive
    }
    guard let primitive = found else { return nil }
    self.primitive = primitive
    direction = problem.direction
    outputs = problem.kernel[0]

    let input = try DNNLConvolution.descriptor(problem.input, inputFormat)
    let output = try DNNLConvolution.descriptor(problem.output, outputFormat)
    let kernel = try DNNLConvolution.descriptor(problem.kernel, kernelFormat)
    let theirs = { (what: dnnl_query_t, ours: DNNLDescriptor) in primitive.query(what) ?? ours }
    switch direction {
    case .forward:
      source = Operand(slot: DNNL_ARG_SRC, ours: input, theirs: theirs(dnnl_query_src_md, input))
      weights = Operand(slot: DNNL_ARG_WEIGHTS, ours: kernel, theirs: theirs(dnnl_query_weights_md, kernel))
      target = Operand(slot: DNNL_ARG_DST, ours: output, theirs: theirs(dnnl_query_dst_md, output))
      biasSlot = DNNL_ARG_BIAS
    case .inputGradient:
      source = Operand(slot: DNNL_ARG_DIFF_DST, ours: output, theirs: theirs(dnnl_query_diff_dst_md, output))
      weights = Operand(slot: DNNL_ARG_WEIGHTS, ours: kernel, theirs: theirs(dnnl_query_weights_md, kernel))
      target = Operand(slot: DNNL_ARG_DIFF_SRC, ours: input, theirs: theirs(dnnl_query_diff_src_md, input))
      biasSlot = nil
    case .weightGradient:
      source = Operand(slot: DNNL_ARG_SRC, ours: input, theirs: theirs(dnnl_query_src_md, input))
      weights = Operand(slot: DNNL_ARG_DIFF_DST, ours: output, theirs: theirs(dnnl_query_diff_dst_md, output))
      target = Operand(slot: DNNL_ARG_DIFF_WEIGHTS, ours: kernel, theirs: theirs(dnnl_query_diff_weights_md, kernel))
      biasSlot = DNNL_ARG_DIFF_BIAS
    }
    innerScratch = primitive.scratchByteCount
    // A primitive that accumulates into a reordered target would lose what is there.
    if accumulate, !target.ours.isEqual(target.theirs) { return nil }
    try connect(&source, outgoing: false, engine)
    try connect(&weights, outgoing: false, engine, inScratch: direction == .weightGradient)
    try connect(&target, outgoing: true, engine)
    for reorder in [source.reorder, weights.reorder, target.reorder] {
      if let reorder, reorder.scratchByteCount > innerScratch { return nil }
    }
    var slots = [(source.slot, source.theirs), (weights.slot, weights.theirs), (target.slot, target.theirs)]
    if let biasSlot { slots.append((biasSlot, try DNNLConvolution.descriptor([outputs], ddpm_dnnl_plain_1d))) }
    try primitive.bind(slots.map { (slot: $0.0, descriptor: $0.1) })
  }

  private func connect(
    _ operand: inout Operand, outgoing: Bool, _ engine: DNNLEngine, inScratch: Bool = true
  ) throws(ExecutionError) {
    guard !operand.ours.isEqual(operand.theirs) else { return }
    let (from, to) = outgoing ? (operand.theirs, operand.ours) : (operand.ours, operand.theirs)
    var made = ddpm_dnnl_primitive()
    try check(ddpm_dnnl_reorder_create(&made, engine.engine, from.handle, to.handle), "oneDNN reorder")
    let reorder = DNNLPrimitive(made, engine)
    try reorder.bind([(DNNL_ARG_FROM, from), (DNNL_ARG_TO, to)])
    operand.reorder = reorder
    if inScratch {
      operand.offset = reordersByteCount
      reordersByteCount += operand.theirs.byteCount.rounded(up: MemoryPlanner.alignment)
    }
  }

  func pack(
    _ w: UnsafeMutablePointer<Float>, _ packed: UnsafeMutableRawPointer, _ scratch: UnsafeMutableRawPointer
  ) throws(ExecutionError) {
    try weights.reorder?.run([UnsafeMutableRawPointer(w), packed], scratch: scratch)
  }

  func run(_ o: ConvolutionKernel.Operands, _ scratch: UnsafeMutableRawPointer) throws(ExecutionError) {
    let inner = scratch + reordersByteCount
    let zeros = (inner + innerScratch.rounded(up: MemoryPlanner.alignment)).assumingMemoryBound(to: Float.self)
    var from = UnsafeMutableRawPointer(o.source)
    if let reorder = source.reorder {
      try reorder.run([from, scratch + source.offset], scratch: inner)
      from = scratch + source.offset
    }
    var kernel = o.weights
    if direction == .weightGradient, let reorder = weights.reorder {
      try reorder.run([kernel, scratch + weights.offset], scratch: inner)
      kernel = scratch + weights.offset
    }
    let to = target.reorder == nil ? UnsafeMutableRawPointer(o.target) : scratch + target.offset
    var addresses = [from, kernel, to]
    if biasSlot != nil {
      if let bias = o.bias ?? o.biasGradient {
        addresses.append(UnsafeMutableRawPointer(bias))
      } else {
        zeros.update(repeating: 0, count: outputs)
        addresses.append(UnsafeMutableRawPointer(zeros))
      }
    }
    try primitive.run(addresses, scratch: inner)
    try target.reorder?.run([to, UnsafeMutableRawPointer(o.target)], scratch: inner)
  }

  // MARK: Making the primitive

  private static func descriptor(_ shape: Shape, _ format: ddpm_dnnl_format) throws(ExecutionError) -> DNNLDescriptor {
    guard let descriptor = DNNLDescriptor(shape, format) else {
      throw .library(operation: "oneDNN memory descriptor", message: "refused the shape \(shape)")
    }
    return descriptor
  }

  private static func primitive(
    _ problem: ConvolutionProblem, _ accumulate: Bool, _ inputFormat: ddpm_dnnl_format,
    _ outputFormat: ddpm_dnnl_format, _ engine: DNNLEngine
  ) throws(ExecutionError) -> DNNLPrimitive? {
    let source = try descriptor(problem.input, inputFormat)
    let destination = try descriptor(problem.output, outputFormat)
    let weights = try descriptor(problem.kernel, ddpm_dnnl_any)
    let bias = try descriptor([problem.kernel[0]], ddpm_dnnl_plain_1d)
    let padding = problem.convolution.padding
    let stride = Int64(problem.convolution.stride)
    func make(_ direction: ddpm_dnnl_direction, _ accumulate: Bool, hint: dnnl_primitive_desc_t?) -> DNNLPrimitive? {
      var description = ddpm_dnnl_convolution(
        direction: direction, accumulate: accumulate ? 1 : 0, source: source.handle,
        weights: weights.handle, bias: direction == ddpm_dnnl_backward_data ? nil : bias.handle,
        destination: destination.handle, strides: (stride, stride),
        padding_before: (Int64(padding.top), Int64(padding.left)),
        padding_after: (Int64(padding.bottom), Int64(padding.right)))
      var made = ddpm_dnnl_primitive()
      guard ddpm_dnnl_convolution_create(&made, engine.engine, &description, hint) == dnnl_success else { return nil }
      return DNNLPrimitive(made, engine)
    }
    if problem.direction == .forward { return make(ddpm_dnnl_forward, accumulate, hint: nil) }
    // The backward primitives want the forward one as a hint.
    guard let forward = make(ddpm_dnnl_forward, false, hint: nil) else { return nil }
    let direction = problem.direction == .inputGradient ? ddpm_dnnl_backward_data : ddpm_dnnl_backward_weights
    return make(direction, accumulate, hint: forward.descriptor)
  }
}
