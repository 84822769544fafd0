import CArchive
import Platform

/// The regular files of an archive one after another, through libarchive.
final class ArchiveReader {
  /// A file's path, as the archive has it.
  struct Entry {
    /// Without `.` and empty parts; nil where it is not UTF-8.
    let name: String?
    /// For messages, with � for what cannot be read.
    let rawName: String
  }

  let path: String
  /// The bytes of the archive itself.
  var size: Int { file.size }
  private let file: ReadableFile
  private let archive: OpaquePointer
  /// What the latest entry still has, and what was passed over before it.
  private var unread = 0, passedOver = 0
  private var latest: Entry?

  /// What an entry takes besides its bytes: a header in the archive, a place in our list.
  static let overhead = 512

  /// The bytes that may be passed over on the way to wanted files: 64 MiB, and what text makes of the archive's size. They take no
  /// memory, but time; and a decoder's window (xz) grows with what it has written.
  private var mostPassedOver: Int { 64 << 20 + 32 * size }

  /// - Throws: ``FileError`` where it is no regular file, ``DataError`` where it is no archive.
  init(_ path: String) throws {
    self.path = path
    file = try ReadableFile(path, limit: 1 << 50)
    guard let archive = archive_read_new() else { throw FileError(verb: "read", path: path, code: ENOMEM) }
    self.archive = archive
    archive_read_support_filter_gzip(archive)
    archive_read_support_filter_bzip2(archive)
    archive_read_support_filter_xz(archive)
    archive_read_support_filter_zstd(archive)
    archive_read_support_format_tar(archive)
    // Only with its directory: a zip that is read as a stream may not know how long its files are.
    archive_read_support_format_zip_seekable(archive)
    guard archive_read_open_fd(archive, file.descriptor, 1 << 18) == ARCHIVE_OK else {
      throw failure("no .tar, .tar.gz or .zip archive")
    }
  }

  deinit { archive_read_free(archive) }

  /// The next regular file, nil at the end; what is left of the one before is passed over.
  ///
  /// - Throws: ``DataError`` where the archive is damaged, or makes too much of what nobody reads.
  func next() throws(DataError) -> Entry? {
    while true {
      // In a zip the next file is found without decompressing this one.
      let isZip = archive_format(archive) & ARCHIVE_FORMAT_BASE_MASK == ARCHIVE_FORMAT_ZIP
      passedOver += Self.overhead + (isZip ? 0 : unread)
      guard passedOver <= mostPassedOver else {
        throw DataError(
          .tooLarge, file: path, "the archive holds more than \(mostPassedOver >> 20) MiB that are not read here",
          remedy: "unpack it and name the folder")
      }
      var entry: OpaquePointer?
      let status = archive_read_next_header(archive, &entry)
      if status == ARCHIVE_EOF { return nil }
      guard status == ARCHIVE_OK || status == ARCHIVE_WARN, let entry else {
        throw failure(latest == nil ? "not a readable archive" : "damaged archive")
      }
      // A size in a header may be anything; far beyond all limits is far enough.
      unread = Int(min(max(0, archive_entry_size(entry)), 1 << 50))
      let text = archive_entry_pathname_utf8(entry) ?? archive_entry_pathname(entry)
      let found = Entry(text.map { UnsafeBufferPointer(start: $0, count: strlen($0)) })
      latest = found
      if archive_entry_filetype(entry) == S_IFREG { return found }
    }
  }

  /// The next bytes of the latest file, at most so many; fewer only at its end.
  ///
  /// - Throws: ``DataError`` where the archive is damaged.
  func read(upTo count: Int) throws(DataError) -> [UInt8] {
    var status = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: max(0, count)) { buffer, got in
      while got < count {
        status = archive_read_data(archive, buffer.baseAddress.map { $0 + got }, count - got)
        if status <= 0 { return }
        got += status
      }
    }
    guard status >= 0 else { throw failure("damaged archive at \(latest?.rawName ?? "its beginning")") }
    unread = max(0, unread - bytes.count)
    return bytes
  }

  private func failure(_ problem: String) -> DataError {
    let text = archive_error_string(archive).map { String(cString: $0) } ?? "error \(archive_errno(archive))"
    return DataError(.corrupt, file: path, "\(problem): \(text)", remedy: "fetch or pack it again")
  }

  /// libarchive turns names into the locale's encoding, and loses those it cannot: gives this thread one that has them all.
  static func withUTF8Names<Result>(_ body: () throws -> Result) rethrows -> Result {
    // LC_CTYPE_MASK, a macro of casts that Swift does not see on every platform.
    let characterTypes = Int32(1) << LC_CTYPE
    let utf8 = newlocale(characterTypes, "C.UTF-8", nil) ?? newlocale(characterTypes, "en_US.UTF-8", nil)
    let previous = utf8.map { uselocale($0) }
    defer {
      if let previous { uselocale(previous) }
      if let utf8 { freelocale(utf8) }
    }
    return try body()
  }
}

extension ArchiveReader.Entry {
  fileprivate init(_ path: UnsafeBufferPointer<CChar>?) {
    let bytes = (path ?? UnsafeBufferPointer(start: nil, count: 0)).map { UInt8(bitPattern: $0) }
    rawName = String(decoding: bytes, as: UTF8.self)
    name = String(validating: bytes, as: UTF8.self).map {
      $0.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
    }
  }
}
