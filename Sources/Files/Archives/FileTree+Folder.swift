import Platform

extension FileTree {
  /// More files and folders than this are refused: the list of their names alone would take a gigabyte.
  static let mostEntries = 1 << 22

  /// Walks a folder. Links are followed, hidden files are not listed.
  ///
  /// Each folder is walked once and each file that a link or a second name leads to is listed once, by its identity on the disk:
  /// links in a circle end, and what is there by its own name goes before what only a link leads to.
  ///
  /// - Throws: ``FileError``, or ``DataError`` for too many files.
  package init(folder: String, wanted: (String) -> Bool, isRecursive: Bool = true) throws {
    self.init(path: folder, isArchive: false)
    var walk = FolderWalk(folder: folder, isRecursive: isRecursive)
    try walk.run(into: &self, wanted: wanted)
    files.sort { $0.path < $1.path }
  }
}

/// One walk through a folder: what is still to be visited, and what was.
private struct FolderWalk {
  /// What makes a file or folder the same under all its names.
  private struct Identity: Hashable {
    let device: dev_t, inode: ino_t
    init(_ status: stat) { (device, inode) = (status.st_dev, status.st_ino) }
  }

  let folder: String
  let isRecursive: Bool
  /// Paths inside the folder; those behind links wait until everything else was seen.
  private var pending = [""], linked: [String] = []
  private var linksDone = 0
  private var seen: Set<Identity> = []
  private var entries = 0

  init(folder: String, isRecursive: Bool) { (self.folder, self.isRecursive) = (folder, isRecursive) }

  mutating func run(into tree: inout FileTree, wanted: (String) -> Bool) throws {
    var root = stat()
    if stat(folder, &root) == 0 { seen.insert(Identity(root)) }
    var isBehindLink = false
    while true {
      if let path = pending.popLast() {
        try visit(path, isBehindLink: isBehindLink, into: &tree, wanted: wanted)
      } else if linksDone < linked.count {
        isBehindLink = true
        linksDone += 1
        take(linked[linksDone - 1], isLink: true, into: &tree, wanted: wanted)
      } else {
        return
      }
    }
  }

  /// Lists one folder.
  private mutating func visit(
    _ path: String, isBehindLink: Bool, into tree: inout FileTree, wanted: (String) -> Bool
  ) throws {
    let names = try FolderNames.read(path.isEmpty ? folder : "\(folder)/\(path)")
    entries += names.valid.count
    guard entries <= FileTree.mostEntries else {
      throw DataError(
        .tooLarge, file: folder, "holds more than \(Text.grouped(FileTree.mostEntries)) files and folders",
        remedy: "name one of its sub-folders")
    }
    for name in names.invalid {
      tree.skip(
        DataError(
          .unsupported, file: "\(folder)/\(path.isEmpty ? "" : path + "/")\(name)", "its name is not UTF-8",
          remedy: "rename it"))
    }
    let earlier = pending.count
    for name in names.valid.sorted() where FileTree.isVisible(name) {
      let inside = path.isEmpty ? name : "\(path)/\(name)"
      var status = stat()
      guard lstat("\(folder)/\(inside)", &status) == 0 else { continue }
      if FileKind(status) == .link {
        linked.append(inside)
      } else {
        take(inside, isLink: isBehindLink, into: &tree, wanted: wanted)
      }
    }
    // What is put on a pile last is taken first.
    pending[earlier...].reverse()
  }

  /// Lists a file, or remembers a folder for later.
  private mutating func take(
    _ path: String, isLink: Bool, into tree: inout FileTree, wanted: (String) -> Bool
  ) {
    var status = stat()
    guard stat("\(folder)/\(path)", &status) == 0 else { return }
    switch FileKind(status) {
    case .folder:
      if isRecursive && seen.insert(Identity(status)).inserted { pending.append(path) }
    case .file where wanted(path):
      // Some file systems give several files one number: ask it only where there are several ways to a file.
      let isNew = seen.insert(Identity(status)).inserted
      if isNew || !(isLink || status.st_nlink > 1) {
        tree.files.append(FileTree.File(path: path, content: .disk("\(folder)/\(path)")))
      } else {
        tree.skip(
          DataError(.duplicate, file: "\(folder)/\(path)", "is a second name of a file that is used already"))
      }
    case let kind where wanted(path):
      tree.skip(
        DataError(.unsupported, file: "\(folder)/\(path)", "is \(kind.rawValue), where a regular file is wanted"))
    default: tree.ignore(path.split(separator: "/").last.map(String.init) ?? path)
    }
  }
}

/// The names in a folder as the disk has them, which need not be text.
private struct FolderNames {
  var valid: [String] = []
  /// Those that are not UTF-8, with � for what cannot be read.
  var invalid: [String] = []

  static func read(_ path: String) throws(FileError) -> FolderNames {
    guard let folder = opendir(path) else { throw FileError(verb: "read", path: path, code: errno) }
    defer { closedir(folder) }
    var names = FolderNames()
    while true {
      errno = 0
      guard let entry = readdir(folder) else { break }
      let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { $0.prefix { $0 != 0 }.map { $0 } }
      if let name = String(validating: bytes, as: UTF8.self) {
        names.valid.append(name)
      } else {
        names.invalid.append(String(decoding: bytes, as: UTF8.self))
      }
    }
    guard errno == 0 else { throw FileError(verb: "read", path: path, code: errno) }
    return names
  }
}
