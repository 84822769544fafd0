extension FileTree {
  /// Reads the wanted files of a .tar, .tar.gz (.bz2, .xz, .zst) or .zip into memory.
  ///
  /// However well it is packed, an archive takes no more memory than ``mostUnpacked(from:)``, and no more than `limit`.
  ///
  /// - Parameters:
  ///   - worth: How many bytes of a file are worth keeping, told by its path and its first 64 KiB; the rest is passed over.
  ///   - limit: The most bytes to hold.
  ///   - toleratesDamage: Keeps what was read before a damaged place, and notes the damage.
  package init(
    archive path: String, wanted: (String) -> Bool, worth: (String, [UInt8]) -> Int, limit: Int, toleratesDamage: Bool
  ) throws {
    self.init(path: path, isArchive: true)
    try ArchiveReader.withUTF8Names {
      do {
        try readAll(ArchiveReader(path), wanted: wanted, worth: worth, limit: limit)
      } catch let error as DataError where toleratesDamage && error.kind == .corrupt && !files.isEmpty {
        skip(error)
      }
    }
    files.sort { $0.path < $1.path }
  }

  /// The memory that something packed may take: 256 MiB and eight times its own size. Pictures, and the data sets that are read
  /// here, are not packed better; a few kilobytes that hold more are meant to do harm.
  package static func mostUnpacked(from size: Int) -> Int { 256 << 20 + 8 * size }

  private mutating func readAll(
    _ archive: ArchiveReader, wanted: (String) -> Bool, worth: (String, [UInt8]) -> Int, limit: Int
  ) throws {
    let mostHeld = min(limit, Self.mostUnpacked(from: archive.size))
    var held = 0
    var seen: [String: Int] = [:]
    while let entry = try archive.next() {
      guard let name = entry.name else {
        skip(DataError(.unsupported, file: "\(path):\(entry.rawName)", "its name is not UTF-8", remedy: "rename it"))
        continue
      }
      guard name.split(separator: "/").allSatisfy(Self.isVisible) else { continue }
      guard wanted(name) else {
        ignore(name)
        continue
      }
      var bytes = try archive.read(upTo: 1 << 16)
      let most = worth(name, bytes)
      while bytes.count < most, held + bytes.count <= mostHeld {
        let piece = try archive.read(upTo: min(1 << 20, most - bytes.count))
        if piece.isEmpty { break }
        bytes += piece
      }
      held += bytes.count + name.utf8.count + ArchiveReader.overhead
      guard held <= mostHeld else {
        throw DataError(
          .tooLarge, file: path, "the archive holds more than \(mostHeld >> 20) MiB of data",
          remedy: "unpack it and name the folder")
      }
      // A later entry of the same name replaces the earlier, as when unpacking.
      // Copied, for an array that grew has room that it does not need.
      let file = File(path: name, content: .memory(bytes.withUnsafeBufferPointer { Array($0) }))
      if let earlier = seen[name] {
        files[earlier] = file
      } else {
        seen[name] = files.count
        files.append(file)
      }
    }
  }
}
