import TensorGraph

/// A program as StableHLO: `main(states…, inputs…, [zero]) -> (updates…, outputs…)`, where an updated state's memory becomes the update's.
package struct Module {
  package let text: String
  /// Whether the last argument is the scalar int32 0 (see `Lowering.rounded`).
  let takesZero: Bool
  /// The program's operators by the line of `text` that begins with what they compute; nil outside of operators.
  private let operators: [String?]

  package init(_ program: Program, _ options: LoweringOptions) {
    let lowering = Lowering(program, options)
    var arguments: [String] = []
    func argument(_ type: HLOType, _ attributes: String = "") -> HLOValue {
      let value = HLOValue(writer: lowering.writer, name: "%a\(arguments.count)", type: type)
      arguments.append("\(value.name): \(type.text)\(attributes)")
      return value
    }
    for state in program.states {
      let position = program.updates.firstIndex { $0.name == state.name }
      let donation = position.map { " {tf.aliasing_output = \($0) : i32}" } ?? ""
      let storage = StateStorage(program.types[state.value])
      lowering.values[state.value] = storage.loaded(argument(HLOType(storage.stored), donation))
    }
    for input in program.inputs { lowering.values[input.value] = argument(HLOType(program.types[input.value])) }

    lowering.lowerNodes()
    let updates = program.updates.map { update in
      StateStorage(program.types[update.value]).storing(lowering.value(update.value).converted(to: .f32))
    }
    let outputs = program.outputs.map { output in
      lowering.value(output.value).converted(to: HLOType(program.types[output.value]).element)
    }
    if lowering.takesZero { arguments.append("\(Lowering.zeroName): tensor<i32>") }
    takesZero = lowering.takesZero

    let results = updates + outputs
    let types = results.map(\.type.text).joined(separator: ", ")
    let head = """
      module @program attributes {mhlo.num_replicas = \(options.replicas) : i32, mhlo.num_partitions = 1 : i32} {
        func.func public @main(\(arguments.joined(separator: ",\n      "))) -> (\(types)) {

      """
    text = """
      \(head)\(lowering.writer.body)    return \(results.map(\.name).joined(separator: ", ")) : \(types)
        }
      }

      """
    operators =
      head.utf8.filter { $0 == UInt8(ascii: "\n") }.map { _ in nil }
      + lowering.writer.nodes.map { node in
        let results = program.nodes[node].results.map { "%\($0) \(program.types[$0])" }.joined(separator: ", ")
        return "\(program.nodes[node].op.name) (\(results))"
      }
  }

  /// The operator that a compiler's message is about, where it names a place in the text as `:LINE:COLUMN`.
  package func operatorNamed(in message: String) -> String? {
    let parts = message.split(separator: ":", omittingEmptySubsequences: false)
    for (part, next) in zip(parts, parts.dropFirst()) where next.first?.isNumber == true {
      guard let line = Int(part), operators.indices.contains(line - 1), let found = operators[line - 1] else {
        continue
      }
      return found
    }
    return nil
  }
}

/// How a state lies on the device: a convolution's kernel (Co, Ci, Kh, Kw) as (Co, Kh, Kw, Ci), the order in which tensor cores read
/// it, so that no step moves kernels or what the optimiser remembers of them. The compiler sees a transposition that costs nothing.
struct StateStorage {
  let type: TensorType
  let stored: TensorType
  let isMoved: Bool

  init(_ type: TensorType) {
    let s = type.shape
    self.type = type
    isMoved = type.dtype == .float && s.rank == 4 && s[2] * s[3] > 1
    stored = isMoved ? TensorType([s[0], s[2], s[3], s[1]], type.dtype) : type
  }

  /// In the module: the program's order from the device's, and back.
  func loaded(_ x: HLOValue) -> HLOValue { isMoved ? x.transposed([0, 3, 1, 2]) : x }
  func storing(_ x: HLOValue) -> HLOValue { isMoved ? x.transposed([0, 2, 3, 1]) : x }

  /// On the host: the same of numbers.
  func stored(_ data: TensorData) -> TensorData {
    guard isMoved else { return data }
    let s = type.shape
    return TensorData(exchanged(data.floats, s[0], s[1], s[2] * s[3]), shape: stored.shape)
  }

  func loaded(_ data: TensorData) -> TensorData {
    guard isMoved else { return data }
    let s = type.shape
    return TensorData(exchanged(data.floats, s[0], s[2] * s[3], s[1]), shape: s)
  }

  /// (n, a, b) → (n, b, a)
  private func exchanged(_ x: [Float], _ n: Int, _ a: Int, _ b: Int) -> [Float] {
    [Float](unsafeUninitializedCapacity: x.count) { y, count in
      for i in 0..<n {
        for j in 0..<a {
          for k in 0..<b { y[(i * b + k) * a + j] = x[(i * a + j) * b + k] }
        }
      }
      count = x.count
    }
  }
}
