/// Pictures in folders: a sub-folder is a class.
import Files
import Pictures
import Threads

package struct ImageFolder {
  package static func isImage(_ path: String) -> Bool { ImageFormat(fileName: path) != nil }

  /// The bytes that can matter in a file of an archive: of a picture eight for each pixel (16 bits in each of four channels) and
  /// 4 MiB of text, profiles and previews; of something else its beginning, which will say what is wrong.
  static func worth(_ path: String, start: [UInt8]) -> Int {
    // A large EXIF block can push the header out of the first piece.
    guard let header = try? ImageHeader(start, name: path) else {
      return ImageFormat(start) == .jpeg ? ImageFormat.largestFile : start.count
    }
    return min(ImageFormat.largestFile, 4 << 20 + 8 * header.width * header.height)
  }

  let tree: FileTree
  let options: Dataset.Options

  /// A picture that will be used.
  private struct Item: Sendable {
    let file: FileTree.File
    let label: Int32
  }

  func open(split: Dataset.Split) throws -> Dataset {
    let (chosen, part) = try Self.select(split, of: tree)
    let classes = Self.classes(of: tree)
    let labels = Dictionary(uniqueKeysWithValues: zip(classes, 0 as Int32..<Int32(classes.count)))
    let all = chosen.map { path, file in Item(file: file, label: Self.className(path).flatMap { labels[$0] } ?? 0) }
    var skipped = tree.skipped
    let (items, headers) = try readHeaders(all, &skipped)
    let shape = try commonShape(items, headers)

    let source: any ImageSource
    let total = items.count.multipliedReportingOverflow(by: shape.count)
    if !total.overflow && total.partialValue <= options.memoryLimit {
      source = try decodeAll(items, shape, &skipped)
    } else {
      source = LazyImages(
        shape: shape, tree: tree, files: items.map(\.file), labels: items.map(\.label), side: options.imageSize)
    }
    guard source.count > 0 else { throw nothingLeft(skipped) }
    return Dataset(
      source, name: tree.path, format: tree.isArchive ? "archive of images" : "folder of images", split: part,
      classes: classes, skipped: skipped, ignored: tree.ignored, isMirrorable: true)
  }

  // MARK: Names

  /// The files of a part, with their paths inside it. Folders named `train` and `test` (or `val`, `validation`) are parts;
  /// without them everything is for training.
  private static func select(
    _ split: Dataset.Split, of tree: FileTree
  ) throws -> ([(path: String, file: FileTree.File)], Dataset.Split?) {
    let files = relative(tree)
    let parts = files.map { partName($0.path) }
    guard parts.contains(.train) || parts.contains(.test) else {
      guard split == .train else { throw noTestSplit(tree) }
      return (files, nil)
    }
    let chosen = zip(files, parts).filter { $0.1 == split }.map(\.0)
    guard !chosen.isEmpty else {
      if split == .test { throw noTestSplit(tree) }
      throw DataError(
        .missing, file: tree.path, "has no train split", remedy: "put those images into a sub-folder 'train'")
    }
    return (chosen, split)
  }

  private static func noTestSplit(_ tree: FileTree) -> DataError {
    DataError(
      .missing, file: tree.path, "has no test split",
      remedy: "put test images into a sub-folder 'test', or use the train split")
  }

  private static func partName(_ path: String) -> Dataset.Split? {
    guard path.contains("/") else { return nil }
    switch path.prefix(while: { $0 != "/" }).lowercased() {
    case "train", "training": return .train
    case "test", "testing", "val", "valid", "validation": return .test
    default: return nil
    }
  }

  /// All images, without the folders that every one of them is in (an archive's single top folder, say).
  private static func relative(_ tree: FileTree) -> [(path: String, file: FileTree.File)] {
    var files = tree.files.map { (path: $0.path, file: $0) }
    while let first = files.first?.path, let slash = first.firstIndex(of: "/") {
      let folder = first[...slash]
      guard partName(first) == nil, files.allSatisfy({ $0.path.hasPrefix(folder) }) else { break }
      files = files.map { (path: String($0.path.dropFirst(folder.count)), file: $0.file) }
    }
    return files
  }

  /// The sub-folder, past the part's own.
  private static func className(_ path: String) -> String? {
    let folders = path.split(separator: "/").dropLast()
    let inside = partName(path) == nil ? folders : folders.dropFirst()
    return inside.first.map(String.init)
  }

  /// The classes of all parts together, so that labels mean the same in each. None unless every image is in one of several.
  private static func classes(of tree: FileTree) -> [String] {
    var names: Set<String> = []
    for (path, _) in relative(tree) {
      guard let name = className(path) else { return [] }
      names.insert(name)
    }
    return names.count > 1 ? names.sorted() : []
  }

  // MARK: Pixels

  /// What is read to see a header: of a small picture, all of it.
  private static let startLength = 1 << 16
  private static let oneAtATime = Monitor(())

  /// Headers tell shapes and reveal much damage before anything is decoded.
  private func readHeaders(_ items: [Item], _ skipped: inout [DataError]) throws -> ([Item], [ImageHeader]) {
    let results = Monitor([Result<ImageHeader, any Error>?](repeating: nil, count: items.count))
    let tree = tree
    concurrently(items.count) { i in
      let result = Result { () throws -> ImageHeader in
        let name = tree.name(of: items[i].file)
        let start = try tree.prefix(items[i].file, Self.startLength)
        do { return try ImageHeader(start, name: name) } catch  where start.count == Self.startLength {
          // A large EXIF block can push the header out of the first piece.
          return try ImageHeader(tree.read(items[i].file, limit: ImageFormat.largestFile), name: name)
        }
      }
      results.change { $0[i] = result }
    }
    var kept: [Item] = []
    var headers: [ImageHeader] = []
    for (item, result) in zip(items, results.change { $0 }) {
      switch result {
      case .success(let header):
        kept.append(item)
        headers.append(header)
      case .failure(let error): try skip(error, item.file, &skipped)
      case nil: break
      }
    }
    guard !kept.isEmpty else { throw nothingLeft(skipped) }
    return (kept, headers)
  }

  /// Passes over a bad image if asked to, or throws.
  private func skip(_ error: any Error, _ file: FileTree.File, _ skipped: inout [DataError]) throws {
    guard options.skipBadImages else {
      guard let error = error as? DataError else { throw error }
      throw DataError(error.kind, file: error.file, error.problem, remedy: "replace it, or pass --skip-bad-images")
    }
    skipped.append(error as? DataError ?? DataError(.missing, file: tree.name(of: file), "\(error)"))
  }

  private func nothingLeft(_ skipped: [DataError]) -> DataError {
    let first = skipped.first.map { "; the first: \($0)" } ?? ""
    return DataError(.empty, file: tree.path, "none of its \(skipped.count) images can be used\(first)")
  }

  private func commonShape(_ items: [Item], _ headers: [ImageHeader]) throws -> ImageShape {
    let channels = options.channels ?? (headers.contains { $0.channels == 3 } ? 3 : 1)
    if let side = options.imageSize { return ImageShape(channels: channels, height: side, width: side) }
    let first = headers[0]
    if let other = headers.firstIndex(where: { $0.width != first.width || $0.height != first.height }) {
      throw DataError(
        .mixedSizes, file: tree.path,
        "images of several sizes (\(items[0].file.path) is \(first.width)×\(first.height), \(items[other].file.path) is "
          + "\(headers[other].width)×\(headers[other].height))",
        remedy: "pass --image-size N to resize and centre-crop them all to N×N")
    }
    return ImageShape(channels: channels, height: first.height, width: first.width)
  }

  private func decodeAll(_ items: [Item], _ shape: ImageShape, _ skipped: inout [DataError]) throws -> PixelStore {
    let state = Monitor((failures: [Int: any Error](), done: 0))
    let (tree, options) = (tree, options)
    let (pixels, kept) = PixelStore.filled(count: items.count, size: shape.count) { i in
      // One failure is enough, unless they are to be counted.
      guard options.skipBadImages || state.change({ $0.failures.isEmpty }) else { return nil }
      let result = Result { try Self.decode(items[i].file, in: tree, to: shape, side: options.imageSize).planes }
      return state.change { state in
        state.done += 1
        options.progress?(state.done, items.count)
        if case .failure(let error) = result { state.failures[i] = error }
        return try? result.get()
      }
    }
    let failures = state.change { $0.failures }
    for (i, error) in failures.sorted(by: { $0.key < $1.key }) { try skip(error, items[i].file, &skipped) }
    return PixelStore(shape: shape, pixels: pixels, labels: zip(items, kept).filter(\.1).map(\.0.label))
  }

  fileprivate static func decode(
    _ file: FileTree.File, in tree: FileTree, to shape: ImageShape, side: Int?
  ) throws -> Image8 {
    let name = tree.name(of: file)
    let start = try tree.prefix(file, startLength)
    func decoded() throws -> Image8 {
      let bytes = start.count < startLength ? start : try tree.read(file, limit: ImageFormat.largestFile)
      return try side.map { try Image8(decoding: bytes, name: name, square: $0, channels: shape.channels) }
        ?? Image8(decoding: bytes, name: name).converted(channels: shape.channels)
    }
    // Large pictures are decoded one at a time, however many processors there are: each may take 100 MiB on the way.
    let isSmall = (try? ImageHeader(start, name: name)).map { $0.width * $0.height <= 4 << 20 } ?? false
    let image = isSmall ? try decoded() : try oneAtATime.change { _ in try decoded() }
    guard image.width == shape.width, image.height == shape.height else {
      throw DataError(
        .corrupt, file: name, "is no longer \(shape.width)×\(shape.height)", remedy: "it changed while in use")
    }
    return image
  }
}

/// Images decoded each time they are asked for: more than memory may hold.
struct LazyImages: ImageSource {
  let shape: ImageShape
  let tree: FileTree
  let files: [FileTree.File]
  let labels: [Int32]
  let side: Int?

  var count: Int { files.count }
  var heldByteCount: Int { tree.heldByteCount }

  func load(_ index: Int) throws -> Example {
    let image = try ImageFolder.decode(files[index], in: tree, to: shape, side: side)
    return Example(pixels: image.planes, label: labels[index])
  }
}
