import CKernels
import TensorGraph

/// Turns a program into steps: gives every value a layout, chooses the kernels, fuses what pays.
///
/// The layout propagates: a value stays in the form in which its operator produced it, and is converted, once, where a
/// consumer needs another.
final class Lowering {
  let program: Program
  let options: CPUBackend.Options
  let kernels: ConvolutionKernels
  let lifetimes: Lifetimes
  let fusion: Fusion
  let states: [String: StateStorage]
  let exchange = Exchange()
  /// What each updated state becomes.
  let updates: [String: Program.ValueID]
  /// The same the other way round.
  private let statesThatBecome: [Program.ValueID: [String]]

  /// What a run does.
  private(set) var steps: [Step] = []
  /// What comes before it where states were changed: what is derived from them and kept.
  private(set) var derivations: [Step] = []
  /// Constants and packed weights, which belong to this executable alone.
  private(set) var constants: [Buffer] = []
  /// The constants of the program itself.
  private var literals: [(Buffer, [Float])] = []
  /// The forms in which each value exists so far; the first is the one in which it was computed.
  private var forms: [Program.ValueID: [(layout: Layout, buffer: Buffer)]] = [:]
  /// The states that alone determine each value, where no run changes them.
  private var frozen: [[StateStorage]?]
  /// Those that determine what is lowered now: then it is computed once, and anew only after they were written.
  private var deriving: [StateStorage]?
  /// The concatenations that their readers read part by part.
  private var parted: [Program.ValueID: (x: Buffer, rest: Buffer, after: Int)] = [:]
  /// The norms that their readers apply.
  private var deferredNorms: [Program.ValueID: DeferredNorm] = [:]
  /// The states whose new value has been written in place.
  private var updatedInPlace: Set<String> = []

  init(_ program: Program, options: CPUBackend.Options, states: [String: StateStorage]) {
    self.program = program
    self.options = options
    kernels = ConvolutionKernels(options)
    self.states = states
    lifetimes = program.lifetimes
    fusion = Fusion(program, lifetimes)
    updates = Dictionary(uniqueKeysWithValues: program.updates.map { ($0.name, $0.value) })
    statesThatBecome = Dictionary(grouping: program.updates, by: \.value).mapValues { $0.map(\.name) }
    frozen = Array(repeating: nil, count: program.types.count)
    for node in program.nodes {
      let states: [StateStorage]? =
        switch node.op {
        case .input: nil
        case .state(let name): updates[name] == nil ? states[name].map { [$0] } : nil
        default:
          node.operands.reduce([StateStorage]?([])) { known, operand in
            known.flatMap { known in frozen[operand].map { known + $0 } }
          }
        }
      for result in node.results { frozen[result] = states }
    }
  }

  func lower() {
    for index in program.nodes.indices where fusion.host(of: index) == nil {
      computing(from: program.nodes[index].results[0]) { lower(at: index) }
    }
    // First what the run gives back, which may be a state's old value.
    for output in program.outputs { lowerOutput(output) }
    lowerUpdates()
  }

  /// Writes the program's constants, once their memory is there.
  func fillConstants() {
    for (buffer, scalars) in literals { buffer.floats.update(from: scalars, count: scalars.count) }
  }

  /// The operator at `index`, with what is fused into it.
  private func lower(at index: Int) {
    if let guest = fusion.guest(of: index) {
      let node = program.nodes[guest.node]
      let addend = guest.addend
      switch node.op {
      case .convolution(let c): lowerConvolution(node, c, adding: addend, to: program.nodes[index].results[0])
      case .convolutionInputGradient(let c, _):
        lowerConvolutionInputGradient(node, c, adding: addend, to: program.nodes[index].results[0])
      case .groupNormGradient(let norm):
        lowerGroupNormGradient(node, norm, adding: addend, to: program.nodes[index].results[0])
      default: preconditionFailure("\(node.op.name) does not fuse with an addition")
      }
      return
    }
    let node = program.nodes[index]
    switch node.op {
    case .input(let name): lowerInput(name, node)
    case .state(let name):
      guard let state = states[name] else { preconditionFailure("state \(name) has no storage") }
      define(node.results[0], state.layout, state.buffer)
    case .constant(let scalars): lowerConstant(scalars, node)
    case .unary(let function): lowerUnary(function, node, at: index)
    case .binary(let function): lowerBinary(function, node, at: index)
    case .toFloat: lowerToFloat(node)
    // One process is one device here.
    case .detach, .allReduceMean: lowerDetach(node)
    case .matmul(let transposeA, let transposeB): lowerMatmul(node, transposeA, transposeB)
    case .convolution(let c): lowerConvolution(node, c, adding: nil, to: node.results[0])
    case .convolutionInputGradient(let c, _):
      lowerConvolutionInputGradient(node, c, adding: nil, to: node.results[0])
    case .convolutionWeightGradient(let c, _, _): lowerConvolutionWeightGradient(node, c)
    case .groupNorm(let norm): lowerGroupNorm(node, norm)
    case .groupNormGradient(let norm): lowerGroupNormGradient(node, norm, adding: nil, to: node.results[0])
    case .softmax: lowerSoftmax(node)
    case .attention(let attention): lowerAttention(node, attention)
    case .attentionGradient(let attention): lowerAttentionGradient(node, attention)
    case .reshape: lowerReshape(node)
    case .transpose(let permutation): lowerTranspose(node, permutation)
    case .concat(let axis): lowerConcat(node, axis)
    case .slice(let axis, let from, let to): lowerSlice(node, axis, from, to)
    case .pad(let axis, let before, _): lowerPad(node, axis, before)
    case .broadcast: lowerBroadcast(node)
    case .upsampleNearest(let factor): lowerUpsample(node, factor)
    case .averagePool(let factor): lowerAveragePool(node, factor)
    case .sum(let axes, _): lowerSum(node, axes)
    case .sumOfSquares: lowerSumOfSquares(node)
    case .gatherRows: lowerGatherRows(node)
    case .scatterAddRows: lowerScatterAddRows(node)
    case .sinusoidalEmbedding(let embedding): lowerSinusoidalEmbedding(node, embedding)
    case .gaussianNoise(_, let stream): lowerRandom(node, stream, dropoutRate: nil)
    case .dropoutMask(_, let rate, let stream): lowerRandom(node, stream, dropoutRate: rate)
    case .adam(let adam): lowerAdam(node, adam, at: index)
    }
  }

  // MARK: Values and their forms

  func shape(_ id: Program.ValueID) -> Shape { program.types[id].shape }

  /// The layout in which the value was computed.
  func nativeLayout(_ id: Program.ValueID) -> Layout {
    guard let first = forms[id]?.first else { preconditionFailure("value %\(id) is used before it is lowered") }
    return first.layout
  }

  /// The value in `layout`, converted if it does not exist so yet.
  func form(_ id: Program.ValueID, _ layout: Layout) -> Buffer {
    let known = forms[id] ?? []
    if let buffer = known.first(where: { $0.layout == layout })?.buffer { return buffer }
    guard let source = known.first else { preconditionFailure("value %\(id) is used before it is lowered") }
    let origin = origin(of: layout, from: source.layout)
    let from = form(id, origin)
    let target = computing(from: id) {
      let target = memory(byteCount: shape(id).count * MemoryLayout<Float>.stride)
      emit(conversion(of: shape(id), from: from, origin, to: target, layout))
      return target
    }
    forms[id, default: []].append((layout, target))
    return target
  }

  func plain(_ id: Program.ValueID) -> Buffer { form(id, .plain) }

  /// Memory for the value, which the next step computes in `layout`.
  func result(_ id: Program.ValueID, _ layout: Layout = .plain) -> Buffer {
    let buffer = memory(byteCount: shape(id).count * MemoryLayout<Float>.stride)
    define(id, layout, buffer)
    return buffer
  }

  /// The memory of the state that this value becomes, if nothing needs the old value after the node at `index`, which computes element by
  /// element: then the new one need not wait for the end of the run.
  func stateResult(_ id: Program.ValueID, _ layout: Layout, at index: Int) -> Buffer? {
    guard let names = statesThatBecome[id], names.count == 1, let name = names.first, let state = states[name],
      state.layout == layout,
      let old = program.states.first(where: { $0.name == name })?.value, isLastUse(of: old, at: index)
    else { return nil }
    markUpdatedInPlace(name)
    define(id, layout, state.buffer)
    return state.buffer
  }

  func define(_ id: Program.ValueID, _ layout: Layout, _ buffer: Buffer) { forms[id] = [(layout, buffer)] }

  func leaveInParts(_ id: Program.ValueID, x: Buffer, rest: Buffer, after: Int) { parted[id] = (x, rest, after) }
  /// The blocked memory of the channels before `after` and of the others, where the value is nowhere whole.
  func parts(of id: Program.ValueID) -> (x: Buffer, rest: Buffer, after: Int)? { parted[id] }

  func deferNorm(_ id: Program.ValueID, _ norm: DeferredNorm) { deferredNorms[id] = norm }
  func deferredNorm(_ id: Program.ValueID) -> DeferredNorm? { deferredNorms[id] }

  // MARK: Steps and their memory

  func emit(_ step: Step) {
    if let deriving { derivations.append(step.afterChanges(of: deriving)) } else { steps.append(step) }
  }

  /// Memory for what the next step computes: until its last reader, or where it is derived from states alone, for good.
  func memory(byteCount: Int) -> Buffer {
    guard deriving != nil else { return Buffer(byteCount: byteCount) }
    let buffer = Buffer(byteCount: byteCount, home: .persistent)
    constants.append(buffer)
    return buffer
  }

  /// Whether the value depends on nothing but states that no run changes.
  func isFrozen(_ id: Program.ValueID) -> Bool { frozen[id] != nil }

  /// Lowers what depends on `id` alone: once for all runs, where that is frozen.
  func computing<Result>(from id: Program.ValueID, _ body: () -> Result) -> Result {
    let outer = deriving
    deriving = frozen[id]
    defer { deriving = outer }
    return body()
  }

  /// Whether a tensor of this shape can be blocked.
  func canBlock(_ shape: Shape) -> Bool { shape.rank >= 3 && shape[1] % Layout.block == 0 }

  // MARK: The program's boundary

  private func lowerInput(_ name: String, _ node: Program.Node) {
    let buffer = result(node.results[0])
    let exchange = exchange
    emit(Step(label: "input", reads: [], writes: [buffer]) { _ in exchange.copyInput(name, to: buffer.raw) })
  }

  private func lowerConstant(_ scalars: [Float], _ node: Program.Node) {
    let buffer = Buffer(byteCount: scalars.count * MemoryLayout<Float>.stride, home: .persistent)
    constants.append(buffer)
    literals.append((buffer, scalars))
    define(node.results[0], .plain, buffer)
  }

  private func lowerOutput(_ output: Program.Named) {
    let buffer = plain(output.value)
    let type = program.types[output.value]
    let exchange = exchange
    emit(
      Step(label: "output", reads: [buffer], writes: []) { _ in
        exchange.takeOutput(output.name, type, from: buffer.raw)
      })
  }

  func markUpdatedInPlace(_ state: String) { updatedInPlace.insert(state) }

  /// Copies the new values into their states, after everything has read the old ones.
  private func lowerUpdates() {
    var copies: [Step] = []
    for update in program.updates where !updatedInPlace.contains(update.name) {
      guard let state = states[update.name] else { preconditionFailure("state \(update.name) has no storage") }
      var source = form(update.value, state.layout)
      if case .persistent = source.root.home {
        // Another state's memory, which may itself be about to change.
        let staged = Buffer(byteCount: source.byteCount)
        emit(copy(source, staged))
        source = staged
      }
      copies.append(copy(source, state.buffer))
    }
    steps += copies
    let updated = program.updates.compactMap { states[$0.name] }
    if !updated.isEmpty {
      emit(Step(label: "states", reads: [], writes: []) { _ in for state in updated { state.version += 1 } })
    }
  }

  func copy(_ source: Buffer, _ target: Buffer) -> Step {
    let bytes = target.byteCount
    return Step(label: "copy", reads: [source], writes: [target]) { _ in
      target.raw.copyMemory(from: source.raw, byteCount: bytes)
    }
  }
}
