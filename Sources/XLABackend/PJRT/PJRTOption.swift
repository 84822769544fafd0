import CPJRT
import Platform

/// What a client is created with, by name.
enum PJRTOption: Hashable, Sendable {
  case integer(Int), integers([Int]), bool(Bool), float(Float)
}

/// Calls `body` with C structs of the options; they and their texts live as long as it runs.
func withNamedValues<R>(
  _ options: [String: PJRTOption], _ body: (UnsafeBufferPointer<PJRT_NamedValue>) throws -> R
) rethrows -> R {
  var texts: [UnsafeMutablePointer<CChar>] = []
  var lists: [UnsafeMutablePointer<Int64>] = []
  defer {
    texts.forEach { free($0) }
    lists.forEach { $0.deallocate() }
  }
  func keep(_ text: String) -> UnsafePointer<CChar>? {
    guard let copy = strdup(text) else { return nil }
    texts.append(copy)
    return UnsafePointer(copy)
  }
  // In a fixed order, so that two runs do the same.
  let values = options.sorted { $0.key < $1.key }.map { name, option in
    sized(PJRT_NamedValue.self) {
      $0.name = keep(name)
      $0.name_size = name.utf8.count
      $0.value_size = 1
      switch option {
      case .integer(let integer): ($0.type, $0.int64_value) = (PJRT_NamedValue_kInt64, Int64(integer))
      case .integers(let integers):
        let list = UnsafeMutablePointer<Int64>.allocate(capacity: integers.count + 1)
        for (index, integer) in integers.enumerated() { list[index] = Int64(integer) }
        lists.append(list)
        ($0.type, $0.int64_array_value, $0.value_size) = (
          PJRT_NamedValue_kInt64List, UnsafePointer(list), integers.count
        )
      case .bool(let bool): ($0.type, $0.bool_value) = (PJRT_NamedValue_kBool, bool)
      case .float(let float): ($0.type, $0.float_value) = (PJRT_NamedValue_kFloat, float)
      }
    }
  }
  return try values.withUnsafeBufferPointer(body)
}
