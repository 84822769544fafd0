import Datasets
import TestSupport

/// The simplest writers of the formats that are read, straight from their specifications.
enum Packing {
  typealias File = (path: String, bytes: [UInt8])

  /// POSIX ustar.
  static func tar(_ files: [File]) -> [UInt8] {
    var out: [UInt8] = []
    for file in files {
      var header = [UInt8](repeating: 0, count: 512)
      func put(_ text: String, _ at: Int) { for (i, byte) in text.utf8.enumerated() { header[at + i] = byte } }
      func octal(_ value: Int, _ digits: Int) -> String {
        let text = String(value, radix: 8)
        return String(repeating: "0", count: digits - text.count) + text
      }
      put(file.path, 0)
      put("0000644", 100)
      put(octal(file.bytes.count, 11), 124)
      put("00000000000", 136)
      put("        ", 148)
      put("0", 156)
      put("ustar", 257)
      put("00", 263)
      put(octal(header.reduce(0) { $0 + Int($1) }, 6), 148)
      header[154] = 0
      out += header + file.bytes + [UInt8](repeating: 0, count: (512 - file.bytes.count % 512) % 512)
    }
    return out + [UInt8](repeating: 0, count: 1024)
  }

  /// zip, stored.
  static func zip(_ files: [File]) -> [UInt8] {
    func two(_ value: Int) -> [UInt8] { [UInt8(value & 255), UInt8(value >> 8 & 255)] }
    func four(_ value: Int) -> [UInt8] { two(value & 0xFFFF) + two(value >> 16) }
    var out: [UInt8] = []
    var directory: [UInt8] = []
    for file in files {
      // Flag 11: names are UTF-8.
      var common: [UInt8] = two(20) + two(1 << 11) + two(0) + two(0)
      common += two(33) + four(Int(crc32(file.bytes[...])))
      common += four(file.bytes.count) + four(file.bytes.count)
      common += two(file.path.utf8.count) + two(0)
      directory += [0x50, 0x4B, 1, 2] + two(20) + common
      directory += two(0) + two(0) + two(0) + four(0) + four(out.count)
      directory += Array(file.path.utf8)
      out += [0x50, 0x4B, 3, 4] + common + Array(file.path.utf8) + file.bytes
    }
    var end: [UInt8] = [0x50, 0x4B, 5, 6] + two(0) + two(0)
    end += two(files.count) + two(files.count)
    end += four(directory.count) + four(out.count) + two(0)
    return out + directory + end
  }

  /// gzip, of stored blocks.
  static func gzip(_ bytes: [UInt8]) -> [UInt8] {
    func four(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
    var out: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255]
    var start = 0
    repeat {
      let size = min(65535, bytes.count - start)
      let isLast = start + size == bytes.count
      out += [isLast ? 1 : 0, UInt8(size & 255), UInt8(size >> 8), UInt8(~size & 255), UInt8(~size >> 8 & 255)]
      out += bytes[start..<start + size]
      start += size
    } while start < bytes.count
    return out + four(crc32(bytes[...])) + four(UInt32(truncatingIfNeeded: bytes.count))
  }

  /// IDX of bytes.
  static func idx(_ sizes: [Int], _ elements: [UInt8]) -> [UInt8] {
    var out: [UInt8] = [0, 0, 8, UInt8(sizes.count)]
    for size in sizes { for shift in [24, 16, 8, 0] { out.append(UInt8(size >> shift & 255)) } }
    return out + elements
  }

  /// `count` records of CIFAR-10's binary version; image i is full of i, its label is i mod 10.
  static func cifar(_ range: Range<Int>) -> [UInt8] {
    range.flatMap { i in [UInt8(i % 10)] + [UInt8](repeating: UInt8(i % 256), count: 3072) }
  }
}
