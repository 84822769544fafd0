import Files

/// numpy's array file, versions 1 to 3: a magic number, a Python dictionary as text, then the numbers. Little-endian, C order.
package enum NPY {
  package static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)

  /// An array's first axis counts points, the others are coordinates; without others, points lie on a line.
  package static func points(_ bytes: [UInt8], name: String) throws(DataError) -> StoredPoints {
    guard bytes.count >= 12, bytes.starts(with: magic) else {
      throw DataError(.corrupt, file: name, "does not begin as numpy's files do", remedy: "write it with numpy.save")
    }
    guard (1...3).contains(bytes[6]) else {
      throw DataError(
        .unsupported, file: name, "has version \(bytes[6]) of numpy's format", remedy: "versions 1, 2 and 3 are read")
    }
    // Version 1 has 16 bits for the header's length, the others 32.
    let start = bytes[6] == 1 ? 10 : 12
    let length = bytes[8..<start].reversed().reduce(0) { $0 << 8 | Int($1) }
    guard length <= 1 << 16, start + length <= bytes.count else {
      throw DataError(
        .corrupt, file: name, "has a header of \(length) bytes that is not there", remedy: "write it again")
    }
    let header = String(decoding: bytes[start..<start + length], as: UTF8.self)
    guard let type = value(of: "descr", in: header), let order = value(of: "fortran_order", in: header),
      let sizes = shape(in: header)
    else {
      throw DataError(
        .corrupt, file: name, "has a header that is not numpy's: \(header.prefix(80))", remedy: "write it again")
    }
    guard order == "False" else {
      throw DataError(
        .unsupported, file: name, "holds its numbers column by column",
        remedy: "save numpy.ascontiguousarray of it")
    }
    guard let read = reader(type) else {
      throw DataError(
        .unsupported, file: name, "holds numbers of type \(type.prefix(20))",
        remedy: "save it as float32: array.astype('<f4')")
    }
    guard let count = sizes.first, count > 0, sizes.allSatisfy({ $0 > 0 }) else {
      throw DataError(
        .empty, file: name, "holds an array of shape \(sizes), no points", remedy: "give it a row a point")
    }
    var (total, overflows) = (read.size, false)
    for size in sizes {
      let product = total.multipliedReportingOverflow(by: size)
      (total, overflows) = (product.partialValue, overflows || product.overflow)
    }
    let data = start + length
    guard !overflows, total <= bytes.count - data else {
      throw DataError(
        .corrupt, file: name,
        "cut short: an array of shape \(sizes) needs more than the \(bytes.count - data) bytes there are",
        remedy: "write it again")
    }
    let dimension = total / read.size / count
    let values = bytes.withUnsafeBytes { raw in
      (0..<count * dimension).map { read.value(raw, data + $0 * read.size) }
    }
    if let bad = values.firstIndex(where: { !(abs($0) < 1e30) }) {
      throw DataError(
        .corrupt, file: name, "row \(bad / dimension) holds \(values[bad]), no finite number",
        remedy: "leave such rows out")
    }
    return StoredPoints(values, dimension: dimension)
  }

  /// How to read a number of a type.
  private static func reader(_ type: String) -> (size: Int, value: (UnsafeRawBufferPointer, Int) -> Double)? {
    func integer<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type) -> (Int, (UnsafeRawBufferPointer, Int) -> Double) {
      (MemoryLayout<T>.size, { Double(T(littleEndian: $0.loadUnaligned(fromByteOffset: $1, as: T.self))) })
    }
    // The first letter is the byte order: | for types of one byte, = is what this machine has.
    switch type.dropFirst(["<", "|", "="].contains(type.prefix(1)) ? 1 : 0) {
    case "f4":
      return (
        4,
        { Double(Float(bitPattern: UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: $1, as: UInt32.self)))) }
      )
    case "f8":
      return (8, { Double(bitPattern: UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: $1, as: UInt64.self))) })
    case "i1": return integer(Int8.self)
    case "i2": return integer(Int16.self)
    case "i4": return integer(Int32.self)
    case "i8": return integer(Int64.self)
    case "u1": return integer(UInt8.self)
    case "u2": return integer(UInt16.self)
    case "u4": return integer(UInt32.self)
    case "u8": return integer(UInt64.self)
    default: return nil
    }
  }

  /// What follows 'key': up to the next comma or brace, without quotes.
  private static func value(of key: String, in header: String) -> String? {
    guard let start = header.firstRange(of: "'\(key)':")?.upperBound else { return nil }
    let text = header[start...].drop { $0 == " " }.prefix { $0 != "," && $0 != "}" }
    return text.filter { $0 != "'" && $0 != " " }
  }

  /// 'shape': (3, 4), — or (3,), or ().
  private static func shape(in header: String) -> [Int]? {
    guard let start = header.firstRange(of: "'shape':")?.upperBound else { return nil }
    let text = header[start...].drop { $0 == " " }
    guard text.first == "(", let end = text.firstIndex(of: ")") else { return nil }
    var sizes: [Int] = []
    for part in text[text.index(after: text.startIndex)..<end].split(separator: ",") {
      let digits = part.filter { $0 != " " }
      if digits.isEmpty { continue }
      guard let size = Int(digits), size >= 0 else { return nil }
      sizes.append(size)
    }
    return sizes
  }
}
