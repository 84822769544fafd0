/// Writes StableHLO as text, one operator at a time. Its methods name StableHLO's operators; `HLOValue`'s operators call them.
///
/// Text is enough, and no compiler library is needed. It has no promise of compatibility between versions, so only plain operators are
/// used, in forms that version 0.9 and all since read.
final class HLOWriter {
  private(set) var body = ""
  private var count = 0
  /// For each line of `body`, the node of the program that it computes: what an error message is about.
  private(set) var nodes: [Int] = []
  /// The node whose operators are being written.
  var node = 0

  private struct Splat: Hashable {
    var bits: UInt64
    var type: HLOType
  }
  private var splats: [Splat: HLOValue] = [:]

  /// `%12 = stablehlo.…`, which computes a value of `type`.
  func emit(_ type: HLOType, _ text: String) -> HLOValue { emitGeneric(type, "stablehlo.\(text)") }

  func emitGeneric(_ type: HLOType, _ text: String) -> HLOValue {
    let name = "%\(count)"
    count += 1
    body += "    \(name) = \(text)\n"
    nodes += repeatElement(node, count: 1 + text.utf8.reduce(0) { $0 + ($1 == UInt8(ascii: "\n") ? 1 : 0) })
    return HLOValue(writer: self, name: name, type: type)
  }

  // MARK: Constants

  /// The same number everywhere. Its bits are written, so that nothing is rounded on the way.
  func splat(_ value: Double, _ shape: [Int] = [], _ element: HLOType.Element = .f32) -> HLOValue {
    let type = HLOType(shape, element)
    let key = Splat(bits: value.bitPattern, type: type)
    if let known = splats[key] { return known }
    let digits =
      switch element {
      case .f32: "0x" + hexadecimal(Float(value).bitPattern, digits: 8)
      case .bf16: "0x" + hexadecimal(bfloat16(Float(value)), digits: 4)
      case .i1: value == 0 ? "false" : "true"
      case .i32, .ui32, .ui64: "\(Int64(value))"
      }
    let made = emit(type, "constant dense<\(digits)> : \(type.text)")
    splats[key] = made
    return made
  }

  /// Given numbers, as little-endian bytes.
  func constant(_ floats: [Float], _ shape: [Int]) -> HLOValue {
    let type = HLOType(shape, .f32)
    if let first = floats.first, floats.allSatisfy({ $0.bitPattern == first.bitPattern }) {
      return emit(type, "constant dense<0x\(hexadecimal(first.bitPattern, digits: 8))> : \(type.text)")
    }
    let bytes = floats.map { hexadecimal($0.bitPattern.byteSwapped, digits: 8) }.joined()
    return emit(type, "constant dense<\"0x\(bytes)\"> : \(type.text)")
  }

  func iota(_ shape: [Int], axis: Int, _ element: HLOType.Element) -> HLOValue {
    let type = HLOType(shape, element)
    return emit(type, "iota dim = \(axis) : \(type.text)")
  }

  private func hexadecimal(_ bits: UInt32, digits: Int) -> String {
    let text = String(bits, radix: 16, uppercase: true)
    return String(repeating: "0", count: digits - text.count) + text
  }

  /// The upper half of the bits, rounded to even.
  private func bfloat16(_ value: Float) -> UInt32 {
    let bits = value.bitPattern
    return (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16
  }

  // MARK: Several values

  func concatenate(_ x: [HLOValue], axis: Int) -> HLOValue {
    if x.count == 1 { return x[0] }
    var shape = x[0].shape
    shape[axis] = x.reduce(0) { $0 + $1.shape[axis] }
    let type = HLOType(shape, x[0].element)
    let names = x.map(\.name).joined(separator: ", ")
    let types = x.map(\.type.text).joined(separator: ", ")
    return emit(type, "concatenate \(names), dim = \(axis) : (\(types)) -> \(type.text)")
  }

  func select(_ condition: HLOValue, _ a: HLOValue, _ b: HLOValue) -> HLOValue {
    emit(a.type, "select \(condition.name), \(a.name), \(b.name) : \(condition.type.text), \(a.type.text)")
  }
}

/// `[0, 2, 3]`
func list(_ numbers: some Sequence<Int>) -> String { "[\(numbers.map(String.init).joined(separator: ", "))]" }
