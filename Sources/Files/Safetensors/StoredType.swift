/// How a safetensors file stores the elements of a tensor, by the name that its header uses.
public enum StoredType: String, CaseIterable, Sendable {
  // In the order in which the files lay tensors out: wider first, so that every tensor is aligned.
  case u64 = "U64", i64 = "I64", f64 = "F64", c64 = "C64"
  case f32 = "F32", u32 = "U32", i32 = "I32"
  case bf16 = "BF16", f16 = "F16", u16 = "U16", i16 = "I16"
  case f8E4M3 = "F8_E4M3", f8E5M2 = "F8_E5M2", i8 = "I8", u8 = "U8", bool = "BOOL"

  /// Bytes an element takes.
  public var size: Int {
    switch self {
    case .u64, .i64, .f64, .c64: 8
    case .f32, .u32, .i32: 4
    case .bf16, .f16, .u16, .i16: 2
    case .f8E4M3, .f8E5M2, .i8, .u8, .bool: 1
    }
  }

  /// The types whose values we read as numbers with a fraction.
  public static let floats: [StoredType] = [.f32, .f16, .bf16, .f64]

  /// The types whose values we read as integers.
  public static let integers: [StoredType] = [.i64, .i32, .u8]
}

/// How weights are written: a file's own choice, since computing is always done in 32 bits.
public enum WeightPrecision: String, CaseIterable, Sendable {
  case f32 = "float32", f16 = "float16", bf16 = "bfloat16"

  var storedType: StoredType {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    }
  }
}

/// bfloat16 is the upper half of a 32-bit float.
enum BFloat16 {
  static func widen(_ bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

  /// Rounds to the nearest bfloat16, ties to even. A NaN keeps its sign and stays a NaN.
  static func narrow(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    if value.isNaN { return UInt16(truncatingIfNeeded: bits >> 16) | 0x0040 }
    let roundUp = 0x7FFF + (bits >> 16 & 1)
    return UInt16(truncatingIfNeeded: (bits + roundUp) >> 16)
  }
}
