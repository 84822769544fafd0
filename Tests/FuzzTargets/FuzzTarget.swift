import DDPM
import Datasets
import Diffusers
import Diffusion
import Files
import Networks
import Pictures
import Platform

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A parser that is fed whatever a fuzzer thinks of, or what one once found.
package enum FuzzTarget: String, CaseIterable, Sendable {
  case safetensors, json, yaml, png, jpeg, webp, gif, bmp, idx, cifar, npy, table, archive, unet, scheduler,
    manifest, state

  /// A parser did something else than accept the bytes or refuse them in one of our errors, on one line.
  package struct BrokenPromise: Error, CustomStringConvertible {
    package let description: String
  }

  /// - Returns: Whether the bytes were accepted.
  /// - Throws: ``BrokenPromise``.
  @discardableResult
  package func run(_ bytes: [UInt8]) throws(BrokenPromise) -> Bool {
    do {
      try parse(bytes)
      return true
    } catch let error as BrokenPromise {
      throw error
    } catch {
      guard Self.isTyped(error) else {
        throw BrokenPromise(description: "an error of type \(type(of: error)): \(error)")
      }
      let text = "\(error)"
      guard text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F }) else {
        throw BrokenPromise(description: "an error that is not on one line: \(text.debugDescription)")
      }
      return false
    }
  }

  private static func isTyped(_ error: any Error) -> Bool {
    error is DataError || error is FileError || error is JSONError || error is YAMLError || error is SafetensorsError
      || error is PipelineError || error is SchedulerConfigError || error is ScheduleError
      || error is NetworkConfigError || error is ManifestError || error is TrainingError
  }

  private func parse(_ bytes: [UInt8]) throws {
    switch self {
    case .safetensors: try Self.safetensors(bytes)
    case .json: try Self.json(bytes)
    case .yaml: _ = try JSONValue(yaml: String(decoding: bytes, as: UTF8.self))
    case .png:
      try? Self.picture(bytes)
      try Self.picture(Self.resealed(bytes))
    case .jpeg, .webp, .gif, .bmp: try Self.picture(bytes)
    case .idx: try Self.data(bytes, "train-images-idx3-ubyte")
    case .cifar: try Self.data(bytes, "data_batch_1.bin")
    case .npy: try Self.data(bytes, "a.npy")
    case .table: try Self.data(bytes, "a.csv")
    case .archive: try Self.data(bytes, "a.tar")
    case .unet:
      guard let members = try JSONValue(parsing: bytes).object else { return }
      let config = try UNetConfig(json: members)
      try Self.expect(
        try UNetConfig(json: config.json(updating: members)) == config, "a configuration changes when it is written")
    case .scheduler:
      let config = try SchedulerConfig(json: String(decoding: bytes, as: UTF8.self))
      if config.T <= 1000 { _ = try config.schedule() }
    case .manifest: try Self.manifest(bytes)
    case .state: try Self.state(bytes)
    }
  }

  private static func expect(_ isTrue: Bool, _ problem: @autoclosure () -> String) throws {
    if !isTrue { throw BrokenPromise(description: problem()) }
  }

  private static func json(_ bytes: [UInt8]) throws {
    let value: JSONValue
    do { value = try JSONValue(parsing: bytes) } catch {
      try expect((0...bytes.count).contains(error.offset), "an error at byte \(error.offset) of \(bytes.count)")
      throw error
    }
    // Compared as text, since what is not a number equals nothing.
    for text in [value.canonicalText, value.compactText] {
      let again = try JSONValue(parsing: text)
      try expect(again.compactText == value.compactText, "a value changes when it is written")
    }
  }

  private static func safetensors(_ bytes: [UInt8]) throws {
    let file = try SafetensorsFile(bytes: bytes)
    for tensor in file.tensors {
      if StoredType.floats.contains(tensor.type) {
        try expect(try file.floats(tensor.name).count == tensor.count, "a tensor of another size")
      } else if StoredType.integers.contains(tensor.type) {
        try expect(try file.integers(tensor.name).count == tensor.count, "a tensor of another size")
      }
    }
  }

  private static func picture(_ bytes: [UInt8]) throws {
    let header = try ImageHeader(bytes, name: "fuzz")
    // Larger ones take too long for a fuzzer.
    guard header.width * header.height <= 1 << 20 else { return }
    let image = try Image8(decoding: bytes, name: "fuzz")
    try expect(
      (image.width, image.height, image.channels) == (header.width, header.height, header.channels),
      "\(image.shape) where the header says \(header)")
    let square = try Image8(decoding: bytes, name: "fuzz", square: 4, channels: 3)
    try expect(square.shape == ImageShape(channels: 3, height: 4, width: 4), "a square of \(square.shape)")
  }

  /// A PNG with right checksums, without which damage gets no further than the first of them.
  private static func resealed(_ png: [UInt8]) -> [UInt8] {
    var png = png
    var position = 8
    while position + 12 <= png.count {
      let length = png[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
      guard position + 12 + length <= png.count else { break }
      let crc = CRC32.checksum(png[position + 4..<position + 8 + length])
      for i in 0..<4 { png[position + 8 + length + i] = UInt8(truncatingIfNeeded: crc >> (24 - 8 * UInt32(i))) }
      position += 12 + length
    }
    return png
  }

  /// The contents of a manifest, with their right checksum, and a folder that has one file of any it may name.
  private static func manifest(_ bytes: [UInt8]) throws {
    let content = try JSONValue(parsing: bytes)
    let checksum = Manifest.text(CRC32C.checksum(Array(content.compactText.utf8)))
    let root: JSONValue = ["content": content, "crc32c": .string(checksum)]
    try inFolder { folder in
      try write(Array(root.compactText.utf8), folder.appending(path: Manifest.fileName))
      try write([1, 2, 3], folder.appending(path: "a"))
      let manifest = try Manifest(readingFrom: folder)
      try manifest.verify()
    }
  }

  private static func state(_ bytes: [UInt8]) throws {
    let state = try TrainingState(json: bytes, checkpoint: "fuzz")
    guard let json = try? state.json() else { throw BrokenPromise(description: "a state that cannot be written") }
    let again = try TrainingState(json: Array(json.canonicalText.utf8), checkpoint: "fuzz")
    try expect(again == state, "a state changes when it is written")
  }

  private static func data(_ bytes: [UInt8], _ name: String) throws {
    try inFolder { folder in
      try write(bytes, folder.appending(path: name))
      let isTolerant = bytes.count % 2 == 0
      let data = try Dataset.open(
        folder.appending(path: name).path,
        options: .init(imageSize: name == "a.tar" ? 4 : nil, skipBadImages: isTolerant, memoryLimit: 1 << 20))
      for i in 0..<min(data.count, 100) {
        try expect(try data.load(i).x0.count == data.shape.count, "an example of another size")
      }
    }
  }

  private static func inFolder(_ body: (URL) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "ddpm-fuzz-\(UInt64.random(in: 0 ... .max))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder)
  }

  /// Not forced to the disk, for which the fuzzer would wait a hundred times longer than for the parser.
  private static func write(_ bytes: [UInt8], _ url: URL) throws {
    guard let file = fopen(url.path, "w") else { throw BrokenPromise(description: "cannot write \(url.path)") }
    fwrite(bytes, 1, bytes.count, file)
    fclose(file)
  }
}

/// PNG's checksum, by a table.
private enum CRC32 {
  private static let table: [UInt32] = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { rest, _ in rest >> 1 ^ (rest & 1 == 1 ? 0xEDB8_8320 : 0) }
  }

  static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    ~bytes.reduce(~0) { crc, byte in crc >> 8 ^ table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] }
  }
}
