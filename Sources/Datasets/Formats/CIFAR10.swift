/// CIFAR-10's binary version: records of one label and 3×32×32 bytes in planes.
import Files
import Pictures

enum CIFAR10 {
  static let shape = ImageShape(channels: 3, height: 32, width: 32)
  static let names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
  private static let record = 1 + 3 * 32 * 32

  /// `data_batch_1.bin` … `data_batch_5.bin` and `test_batch.bin`.
  static func split(of path: String) -> Dataset.Split? {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    if name == "test_batch.bin" { return .test }
    return name.hasPrefix("data_batch_") && name.hasSuffix(".bin") ? .train : nil
  }

  static func isBatch(_ path: String) -> Bool { split(of: path) != nil }

  /// The version for Python is pickled: code, in effect, which is not run here.
  static func isPickled(_ path: String) -> Bool {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    return name == "test_batch" || (name.hasPrefix("data_batch_") && !name.contains("."))
  }

  /// - Parameter limit: The most bytes that all files together may have.
  static func load(_ files: [FileTree.File], in tree: FileTree, limit: Int) throws -> PixelStore {
    var pixels: [UInt8] = []
    var labels: [Int32] = []
    for file in files {
      let bytes = try tree.read(file, limit: limit - pixels.count)
      let name = tree.name(of: file)
      guard !bytes.isEmpty, bytes.count.isMultiple(of: record) else {
        throw DataError(
          .corrupt, file: name, "\(bytes.count) bytes are no whole number of CIFAR-10 records (\(record) bytes each)",
          remedy: "fetch it again: it is cut short, or not the binary version")
      }
      if pixels.isEmpty { pixels.reserveCapacity(min(limit, files.count * bytes.count)) }
      for start in stride(from: 0, to: bytes.count, by: record) {
        guard bytes[start] < 10 else {
          throw DataError(
            .corrupt, file: name, "record \(start / record) has the label \(bytes[start]), where 0…9 are possible",
            remedy: "fetch it again")
        }
        labels.append(Int32(bytes[start]))
        pixels.append(contentsOf: bytes[start + 1..<start + record])
      }
    }
    return PixelStore(shape: shape, pixels: pixels, labels: labels)
  }
}
