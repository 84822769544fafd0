#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Reads F32 and I64 tensors of a safetensors file: enough for reference values where the product's reader is out of reach.
public struct MiniSafetensors {
  private struct Entry: Decodable {
    let dtype: String
    let shape: [Int]
    let data_offsets: [Int]
  }

  private let entries: [String: Entry]
  private let bytes: Data

  public enum Failure: Error { case header, missing(String), type(String) }

  public init(_ url: URL) throws {
    let file = try Data(contentsOf: url)
    guard file.count >= 8 else { throw Failure.header }
    let length = file.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    entries = try JSONDecoder().decode([String: Entry].self, from: Data(file[8..<8 + length]))
    bytes = Data(file[(8 + length)...])
  }

  public var names: [String] { entries.keys.sorted() }

  public func shape(_ name: String) throws -> [Int] { try entry(name, "F32", "I64").shape }

  public func floats(_ name: String) throws -> [Float] {
    try scalars(entry(name, "F32")).map { Float(bitPattern: UInt32(littleEndian: $0)) }
  }

  public func integers(_ name: String) throws -> [Int] {
    try scalars(entry(name, "I64")).map { Int(Int64(littleEndian: $0)) }
  }

  private func entry(_ name: String, _ types: String...) throws -> Entry {
    guard let entry = entries[name] else { throw Failure.missing(name) }
    guard types.contains(entry.dtype) else { throw Failure.type(entry.dtype) }
    return entry
  }

  private func scalars<Scalar>(_ entry: Entry) -> [Scalar] {
    bytes.withUnsafeBytes { raw in
      (0..<entry.shape.reduce(1, *)).map {
        raw.loadUnaligned(fromByteOffset: entry.data_offsets[0] + $0 * MemoryLayout<Scalar>.stride, as: Scalar.self)
      }
    }
  }
}
