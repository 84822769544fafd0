import CArchive
import Files
import Pictures
import Platform
import Threads

extension Dataset {
  /// How data is read.
  public struct Options: Sendable {
    /// The side of the square images to make; nil keeps the data's own size.
    public var imageSize: Int?
    /// 1 for grey, 3 for colour; nil keeps what the data has.
    public var channels: Int?
    /// Leaves damaged images out, and lists them in ``Dataset/skipped``, where otherwise the first is an error.
    public var skipBadImages: Bool
    /// Decoded images are kept in memory up to so many bytes; beyond, they are decoded each time.
    public var memoryLimit: Int
    /// Of the glyphs.
    public var seed: UInt64
    /// Told how many images of how many are decoded, from several threads, one at a time.
    public var progress: (@Sendable (_ done: Int, _ total: Int) -> Void)?

    /// A quarter of the machine's memory, and no more than 4 GiB.
    public static let defaultMemoryLimit = min(
      4 << 30, max(256 << 20, sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) / 4))

    /// - Parameter channels: 1, 3, or nil for what the data has.
    public init(
      imageSize: Int? = nil, channels: Int? = nil, skipBadImages: Bool = false,
      memoryLimit: Int = Self.defaultMemoryLimit,
      seed: UInt64 = 0, progress: (@Sendable (_ done: Int, _ total: Int) -> Void)? = nil
    ) {
      precondition(channels == nil || channels == 1 || channels == 3, "images have 1 or 3 channels")
      self.imageSize = imageSize
      self.channels = channels
      self.skipBadImages = skipBadImages
      self.memoryLimit = memoryLimit
      self.seed = seed
      self.progress = progress
    }
  }

  /// Opens data of whatever kind is there.
  ///
  /// - Parameter path: `glyphs` (needs no file); points: a ``PointFigure``'s name, `drawing:FILE`, a .csv or .npy file;
  ///   a folder of pictures (PNG, JPEG, WebP, GIF, BMP), sub-folder = class; a folder with MNIST's IDX files (plain or gzip) or one
  ///   of them; a folder with CIFAR-10's binary batches, or one of them; a .tar, .tar.gz or .zip of any of these.
  /// - Throws: ``DataError`` or ``FileError``: one line that names the file and says what would work.
  public static func open(
    _ path: String, split: Split = .train, imageSize: Int? = nil, skipBadImages: Bool = false
  ) throws -> Dataset {
    try open(path, split: split, options: Options(imageSize: imageSize, skipBadImages: skipBadImages))
  }

  /// Returned to the system by one at a time: in a process with another allocator (a sanitizer's, or one preloaded) the first who does it
  /// sets up the system's, and two at once set it up twice.
  private static let unusedMemory = Monitor(())

  /// Opens data of whatever kind is there, with all options.
  public static func open(_ path: String, split: Split = .train, options: Options) throws -> Dataset {
    defer { unusedMemory.change { _ in return_unused_memory() } }
    if let side = options.imageSize, !(1...8192).contains(side) {
      throw DataError(.unsupported, file: path, "an image size of \(side) makes no sense", remedy: "choose 8…512")
    }
    if path == "glyphs" {
      guard options.channels != 3 else {
        throw DataError(.unsupported, file: path, "the glyphs are grey", remedy: "ask for 1 channel")
      }
      guard options.imageSize ?? 28 >= 8 else {
        throw DataError(.unsupported, file: path, "characters need 8×8 pixels or more", remedy: "try --image-size 28")
      }
      return glyphs(seed: options.seed, split: split, side: options.imageSize ?? 28)
    }
    if let points = try points(named: path, split: split, options: options) { return points }
    var path = path
    while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
    if FileKind(at: path) == .folder {
      return try open(FileTree(folder: path, wanted: isUseful), split: split, options: options)
    }
    return try open(file: path, split: split, options: options)
  }

  private static func isUseful(_ path: String) -> Bool {
    ImageFolder.isImage(path) || IDX.isImages(path) || IDX.isLabels(path) || CIFAR10.isBatch(path)
      || CIFAR10.isPickled(path)
  }

  private static let whatWorks =
    "what works: a folder of pictures (PNG, JPEG, WebP, GIF, BMP), MNIST's IDX files, CIFAR-10's binary batches, a .tar, .tar.gz or .zip of these, 'glyphs', "
    + "or points: a .csv or .npy file, 'moons' or another figure"

  // MARK: One file

  private static func open(file path: String, split: Split, options: Options) throws -> Dataset {
    var header = try FileBytes.prefix(path, 1 << 12)
    guard !header.isEmpty else { throw DataError(.empty, file: path, "the file is empty", remedy: whatWorks) }
    // The start of a gzip file is told by what is inside; if it cannot be, the whole file will say why.
    if Gzip.isGzip(header), let inside = try? Gzip.inflate(header, name: path, limit: 16) { header = inside }
    if ImageFormat(header) != nil {
      throw DataError(.unsupported, file: path, "is a single image", remedy: "name the folder that holds the images")
    }
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    let name = parts.last.map(String.init) ?? path
    let folder = parts.count > 1 ? (parts.dropLast().joined(separator: "/")) : "."
    let isIDX = IDX.isImages(header: header)
    if isIDX || header.starts(with: [0, 0, 8, 1]) || IDX.isImages(name) || CIFAR10.isBatch(name) {
      guard isIDX || !IDX.isLabels(name) else {
        throw DataError(.unsupported, file: path, "holds labels only", remedy: "name the images file or the folder")
      }
      let tree = try FileTree(
        folder: folder.isEmpty ? "/" : folder, wanted: { $0 == name || isUseful($0) }, isRecursive: false)
      guard let named = tree.files.first(where: { $0.name == name }) else {
        throw FileError(verb: "read", path: path, code: ENOENT)
      }
      if CIFAR10.isBatch(name) {
        let batch = try counterpart(of: named, in: tree, split, CIFAR10.split)
        return try openCIFAR10([batch], tree, path: path, options)
      }
      let images = try counterpart(of: named, in: tree, split) { IDX.isImages($0) ? IDX.split(of: $0) : nil }
      return try openIDX(images, tree, path: path, options)
    }
    let tree = try FileTree(
      archive: path, wanted: isUseful, worth: { ImageFolder.isImage($0) ? ImageFolder.worth($0, start: $1) : .max },
      limit: options.memoryLimit, toleratesDamage: options.skipBadImages)
    return try open(tree, split: split, options: options)
  }

  /// The file that was named; but where it is for training and the test split is wanted, the test file beside it.
  private static func counterpart(
    of named: FileTree.File, in tree: FileTree, _ split: Split, _ partOf: (String) -> Split?
  ) throws -> FileTree.File {
    guard split == .test, partOf(named.name) == .train else { return named }
    guard let other = tree.files.first(where: { partOf($0.name) == .test }) else {
      throw DataError(
        .missing, file: tree.name(of: named), "is for training, and no test file lies beside it",
        remedy: "use the train split, or fetch the test file")
    }
    return other
  }

  // MARK: A folder or an archive

  private static func open(_ tree: FileTree, split: Split, options: Options) throws -> Dataset {
    if tree.files.contains(where: { CIFAR10.isBatch($0.path) }) {
      let batches = tree.files.filter { CIFAR10.split(of: $0.path) == split }
      guard !batches.isEmpty else {
        throw DataError(
          .missing, file: tree.path, "has no \(split.rawValue) batches of CIFAR-10",
          remedy: "fetch cifar-10-binary.tar.gz again")
      }
      return try openCIFAR10(batches, tree, path: tree.path, options)
    }
    let sets = tree.files.filter { IDX.isImages($0.path) }
    if !sets.isEmpty {
      let chosen = sets.filter { IDX.split(of: $0.path) == split }
      let candidates = chosen.isEmpty && split == .train ? sets.filter { IDX.split(of: $0.path) == nil } : chosen
      guard let images = candidates.first else {
        throw DataError(
          .missing, file: tree.path,
          "has no \(split.rawValue) images, only \(list(sets.map(\.path)))",
          remedy: "name the file to use")
      }
      guard candidates.count == 1 else {
        throw DataError(
          .unsupported, file: tree.path, "holds several data sets: \(list(candidates.map(\.path)))",
          remedy: "name the file to use")
      }
      return try openIDX(images, tree, path: tree.path, options)
    }
    var images = tree
    images.files.removeAll { !ImageFolder.isImage($0.path) }
    guard !images.files.isEmpty else {
      if tree.files.contains(where: { CIFAR10.isPickled($0.path) }) {
        throw DataError(
          .unsupported, file: tree.path, "is CIFAR-10's Python version, which is pickled",
          remedy: "fetch the binary version, cifar-10-binary.tar.gz")
      }
      let found = tree.ignored.isEmpty ? "holds no files" : "holds no pictures, only files: \(counted(tree.ignored))"
      throw DataError(.empty, file: tree.path, found, remedy: whatWorks)
    }
    return try ImageFolder(tree: images, options: options).open(split: split)
  }

  private static func openIDX(
    _ images: FileTree.File, _ tree: FileTree, path: String, _ options: Options
  ) throws -> Dataset {
    let store = try IDX.load(images, in: tree, limit: options.memoryLimit)
    let isLabelled = IDX.labels(of: images, in: tree) != nil
    return try Dataset(
      store.fitted(options, file: path), name: path, format: "IDX",
      split: IDX.split(of: images.path),
      classes: IDX.classes(store, path: tree.path + "/" + images.path, isLabelled: isLabelled))
  }

  private static func openCIFAR10(
    _ batches: [FileTree.File], _ tree: FileTree, path: String, _ options: Options
  ) throws -> Dataset {
    let store = try CIFAR10.load(batches, in: tree, limit: options.memoryLimit)
    return try Dataset(
      store.fitted(options, file: path), name: path, format: "CIFAR-10 binary",
      split: batches.first.flatMap { CIFAR10.split(of: $0.path) }, classes: CIFAR10.names, isMirrorable: true)
  }
}
