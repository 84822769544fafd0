/// The format of MNIST and its kin: a magic number, the dimensions, then bytes; plain or gzip.
import Files
import Pictures

enum IDX {
  /// `…-images-idx3-ubyte`, also with `.gz`, also with dots for dashes.
  static func isImages(_ path: String) -> Bool { mentions(path, "images", "idx3") }
  static func isLabels(_ path: String) -> Bool { mentions(path, "labels", "idx1") }

  private static func mentions(_ path: String, _ kind: String, _ format: String) -> Bool {
    let name = path.split(separator: "/").last.map { $0.lowercased() } ?? ""
    return name.contains(kind) && name.contains(format)
  }

  /// What the file's name says about its part.
  static func split(of path: String) -> Dataset.Split? {
    let name = path.split(separator: "/").last.map { $0.lowercased() } ?? ""
    if name.contains("train") { return .train }
    return name.contains("t10k") || name.contains("test") ? .test : nil
  }

  /// Whether a file begins as IDX images do.
  static func isImages(header: [UInt8]) -> Bool { header.starts(with: [0, 0, 8, 3]) }

  /// Reads images and, if there are any beside them, their labels.
  static func load(_ images: FileTree.File, in tree: FileTree, limit: Int) throws -> PixelStore {
    let name = tree.name(of: images)
    let (sizes, pixels) = try array(images, in: tree, rank: 3, limit: limit)
    guard sizes[0] > 0, sizes[1] > 0, sizes[2] > 0 else {
      throw DataError(
        .empty, file: name, "holds \(sizes[0]) images of \(sizes[1])×\(sizes[2])", remedy: "fetch it again")
    }
    let shape = ImageShape(channels: 1, height: sizes[1], width: sizes[2])
    guard let labels = labels(of: images, in: tree) else {
      return PixelStore(shape: shape, pixels: pixels, labels: .init(repeating: 0, count: sizes[0]))
    }
    let (counts, values) = try array(labels, in: tree, rank: 1, limit: limit)
    guard counts[0] == sizes[0] else {
      throw DataError(
        .corrupt, file: tree.name(of: labels), "\(counts[0]) labels for \(sizes[0]) images in \(name)",
        remedy: "fetch both again")
    }
    return PixelStore(shape: shape, pixels: pixels, labels: values.map { Int32($0) })
  }

  /// The labels that belong to images: the same name with `labels` and `idx1`, gzip or not.
  static func labels(of images: FileTree.File, in tree: FileTree) -> FileTree.File? {
    func key(_ path: String) -> String {
      let lowered = path.lowercased()
      return lowered.hasSuffix(".gz") ? String(lowered.dropLast(3)) : lowered
    }
    let wanted = key(images.path).replacing("images", with: "labels").replacing("idx3", with: "idx1")
    return tree.files.first { key($0.path) == wanted }
  }

  /// Names of the classes: Fashion-MNIST's, where a path says so, or the labels' numbers.
  static func classes(_ store: PixelStore, path: String, isLabelled: Bool) -> [String] {
    guard isLabelled else { return [] }
    let count = Int(store.labels.max() ?? 0) + 1
    let fashion = [
      "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ]
    if path.lowercased().contains("fashion"), count <= fashion.count { return fashion }
    return (0..<max(count, 10)).map { String($0) }
  }

  /// An array of bytes: its dimensions and its elements.
  private static func array(
    _ file: FileTree.File, in tree: FileTree, rank: Int, limit: Int
  ) throws -> (sizes: [Int], elements: [UInt8]) {
    let name = tree.name(of: file)
    let start = 4 + 4 * rank
    var bytes = try tree.read(file, limit: limit)
    let isPacked = Gzip.isGzip(bytes)
    let header = isPacked ? try Gzip.inflate(bytes, name: name, limit: start) : Array(bytes.prefix(start))
    guard header.count == start, header.starts(with: [0, 0, 8, UInt8(rank)]) else {
      let found = header.prefix(4).map { String($0) }.joined(separator: " ")
      throw DataError(
        .corrupt, file: name,
        "begins with the bytes \(found), where an IDX file of bytes with rank \(rank) has 0 0 8 \(rank)",
        remedy: "fetch it again")
    }
    let sizes = (0..<rank).map { i in header[4 + 4 * i..<8 + 4 * i].reduce(0) { $0 << 8 | Int($1) } }
    let product = sizes.map { String($0) }.joined(separator: "×")
    // Sizes are 32 bits each: their product may not fit an Int.
    var (count, overflows) = (1, false)
    for size in sizes {
      let product = count.multipliedReportingOverflow(by: size)
      (count, overflows) = (product.partialValue, overflows || product.overflow)
    }
    let most = isPacked ? min(limit, FileTree.mostUnpacked(from: bytes.count)) : limit
    guard !overflows, count <= most - start else {
      throw DataError(
        .tooLarge, file: name, "asks for \(product) bytes",
        remedy: "the file is damaged, or not a data set of small images")
    }
    if isPacked { bytes = try Gzip.inflate(bytes, name: name, limit: start + count) }
    guard bytes.count - start >= count else {
      throw DataError(
        .corrupt, file: name, "cut short: \(product) needs \(count + start) bytes, and it has \(bytes.count)",
        remedy: "fetch it again")
    }
    bytes.removeLast(bytes.count - start - count)
    bytes.removeFirst(start)
    return (sizes, bytes)
  }
}
