import Datasets
import Files
import Pictures
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct FormatTests {
  // MARK: IDX

  @Test(
    .needsShared,
    arguments: [
      (Dataset.Split.train, 60_000, 1_567_298_545, [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]),
      (.test, 10_000, 264_923_200, [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]),
    ] as [(Dataset.Split, Int, Int, [Int32])])
  func mnist(split: Dataset.Split, count: Int, sum: Int, labels: [Int32]) throws {
    let data = try Dataset.open(SharedFiles.url("data/mnist").path, split: split)
    #expect(data.count == count && data.shape == ImageShape(channels: 1, height: 28, width: 28))
    #expect(data.split == split && data.classes == (0..<10).map { "\($0)" })
    #expect(try (0..<10).map { try data.load($0).label } == labels)
    var total = 0
    for i in 0..<count { total += try data.load(i).pixels.reduce(0) { $0 + Int($1) } }
    #expect(total == sum)
  }

  @Test func idxFilesPlainGzippedNamedAndInArchives() throws {
    try withTemporaryFolder { folder in
      let images = Packing.idx([3, 2, 2], (0..<12).map { UInt8($0) }), labels = Packing.idx([3], [4, 0, 2])
      let test = Packing.idx([1, 2, 2], [9, 9, 9, 9])
      try save(Packing.gzip(images), folder, "a/train-images-idx3-ubyte.gz")
      try save(labels, folder, "a/train-labels-idx1-ubyte")
      try save(test, folder, "a/t10k-images-idx3-ubyte")
      let a = folder.appending(path: "a").path
      for path in [a, a + "/train-images-idx3-ubyte.gz", a + "/"] {
        let data = try Dataset.open(path)
        #expect(data.count == 3 && data.split == .train && !data.isMirrorable)
        #expect(try data.load(2) == Example(pixels: [8, 9, 10, 11], label: 2))
        let other = try Dataset.open(path, split: .test)
        #expect(other.count == 1 && other.split == .test && other.classes.isEmpty)
      }
      #expect(try Dataset.open(a + "/t10k-images-idx3-ubyte").split == .test, "a file that is named is used")
      let bigger = try Dataset.open(a, imageSize: 4)
      #expect(bigger.shape == ImageShape(channels: 1, height: 4, width: 4))
      #expect(
        try bigger.load(0).pixels
          == Image8(width: 2, height: 2, channels: 1, bytes: [0, 1, 2, 3]).resized(width: 4, height: 4).bytes)
      #expect(try Dataset.open(a, options: .init(channels: 3)).load(1).pixels == [4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7])

      try save(Packing.zip([("x/train-images-idx3-ubyte", images)]), folder, "a.zip")
      #expect(try Dataset.open(folder.appending(path: "a.zip").path).count == 3)
    }
  }

  /// Three images of 2×2 at 8192×8192 would take 192 MiB.
  @Test func aSizeBeyondTheMemoryLimitIsRefused() throws {
    try withTemporaryFolder { folder in
      try save(Packing.idx([3, 2, 2], (0..<12).map { UInt8($0) }), folder, "train-images-idx3-ubyte")
      let options = Dataset.Options(imageSize: 8192, memoryLimit: 100 << 20)
      let error = #expect(throws: DataError.self) { try Dataset.open(folder.path, options: options) }
      #expect(error?.kind == .tooLarge && error?.file == folder.path)
      #expect(error?.problem == "3 images of 1×8192×8192 take more than the 100 MiB that data may take")
      #expect(error?.remedy == "choose a smaller image size; the data's own is 2×2")
      let fits = Dataset.Options(imageSize: 8, channels: 3, memoryLimit: 3 * 3 * 64)
      #expect(try Dataset.open(folder.path, options: fits).shape.description == "3×8×8")
      try save(Packing.cifar(0..<2), folder, "c/data_batch_1.bin")
      let colour = #expect(throws: DataError.self) { try Dataset.open(folder.path + "/c", options: options) }
      #expect(colour?.kind == .tooLarge)
    }
  }

  @Test func damagedIDXIsNamed() throws {
    let images = Packing.idx([3, 2, 2], (0..<12).map { UInt8($0) })
    let name = "train-images-idx3-ubyte"
    for (bytes, part) in [
      (Array(images.dropLast(1)), "cut short: 3×2×2 needs 28 bytes, and it has 27"),
      (Packing.idx([1 << 31, 1 << 20, 1 << 20], []), "asks for 2147483648×1048576×1048576 bytes"),
      (Packing.idx([0, 28, 28], []), "holds 0 images"),
      (Array(Packing.gzip(images).dropLast(20)), "ends after"),
      (Array(images.prefix(7)), "begins with the bytes"), ([], "begins with the bytes"),
    ] {
      try withTemporaryFolder { folder in
        try save(bytes, folder, name)
        let error = #expect(throws: DataError.self) { try Dataset.open(folder.path) }
        #expect(error?.file == folder.path + "/" + name)
        #expect(error?.problem.contains(part) == true, "\(error?.description ?? "")")
      }
    }
    try withTemporaryFolder { folder in
      try save(images, folder, name)
      try save(Packing.idx([2], [1, 2]), folder, "train-labels-idx1-ubyte")
      let error = #expect(throws: DataError.self) { try Dataset.open(folder.path) }
      #expect(error?.problem.hasPrefix("2 labels for 3 images") == true)
    }
  }

  // MARK: CIFAR-10

  @Test func cifar10BinaryFromFolderFileAndArchive() throws {
    try withTemporaryFolder { folder in
      let files: [Packing.File] = [
        ("cifar-10-batches-bin/data_batch_1.bin", Packing.cifar(0..<12)),
        ("cifar-10-batches-bin/data_batch_2.bin", Packing.cifar(12..<20)),
        ("cifar-10-batches-bin/test_batch.bin", Packing.cifar(100..<103)),
        ("cifar-10-batches-bin/readme.html", [1]),
      ]
      for file in files { try save(file.bytes, folder, file.path) }
      try save(Packing.gzip(Packing.tar(files)), folder, "cifar-10-binary.tar.gz")
      for path in [folder.path + "/cifar-10-batches-bin", folder.path + "/cifar-10-binary.tar.gz"] {
        let data = try Dataset.open(path)
        #expect(
          data.count == 20 && data.shape.description == "3×32×32" && data.classes[9] == "truck" && data.isMirrorable)
        #expect(try data.load(13) == Example(pixels: .init(repeating: 13, count: 3072), label: 3))
        #expect(try Dataset.open(path, split: .test).count == 3)
      }
      let one = folder.path + "/cifar-10-batches-bin/data_batch_2.bin"
      #expect(try Dataset.open(one).count == 8)
      #expect(try Dataset.open(one, split: .test).count == 3)
      try save(Array(Packing.cifar(0..<2).dropLast()), folder, "bad/data_batch_1.bin")
      let error = #expect(throws: DataError.self) { try Dataset.open(folder.path + "/bad") }
      #expect(error?.problem.contains("6145 bytes are no whole number of CIFAR-10 records") == true)
      try save([1], folder, "python/data_batch_1")
      #expect(throws: DataError.self) { try Dataset.open(folder.path + "/python") }
    }
  }

  @Test(.needsShared)
  func cifar10JPEGArchive() throws {
    let data = try Dataset.open(SharedFiles.url("data/cifar10-jpeg.tar.gz").path)
    #expect(data.count == 50_000 && data.shape.description == "3×32×32" && data.split == .train)
    #expect(data.classes.first == "airplane" && data.classes.count == 10)
    // Sorted by path, image 12,345 is train/bird/2345.jpg. Sum and corners are Pillow's.
    let example = try data.load(12_345)
    #expect(example.label == 2)
    let sum = example.pixels.reduce(0) { $0 + Int($1) }
    #expect(abs(sum - 386_041) <= 300)
    for (plane, first, last) in [(0, 138, 125), (1, 157, 166), (2, 102, 72)] {
      #expect(abs(Int(example.pixels[plane * 1024]) - first) <= 2)
      #expect(abs(Int(example.pixels[plane * 1024 + 1023]) - last) <= 2)
    }
    let error = #expect(throws: DataError.self) {
      try Dataset.open(SharedFiles.url("data/cifar10-jpeg.tar.gz").path, split: .test)
    }
    #expect(error?.kind == .missing)
  }

  // MARK: Folders

  @Test func foldersAndArchivesOfImages() throws {
    try withTemporaryFolder { folder in
      let files = try photos()
      for file in files { try save(file.bytes, folder, "photos/" + file.path) }
      try save(Packing.tar(files), folder, "photos.tar")
      try save(Packing.gzip(Packing.tar(files.map { ("top/" + $0.path, $0.bytes) })), folder, "photos.tar.gz")
      try save(Packing.zip(files + [("__MACOSX/cat/._a.png", [0])]), folder, "photos.zip")
      for name in ["photos", "photos.tar", "photos.tar.gz", "photos.zip"] {
        let data = try Dataset.open(folder.appending(path: name).path, imageSize: 16)
        #expect(data.count == 4 && data.classes == ["cat", "dog"] && data.shape.description == "3×16×16", "\(name)")
        #expect(try (0..<4).map { try data.load($0).label } == [0, 0, 1, 1])
        #expect(data.description.contains("4 images, 3×16×16, 2 classes"))
      }
      #expect(throws: DataError.self) { try Dataset.open(folder.path + "/photos", split: .test) }
    }
  }

  @Test func namesInArchivesMayBeInAnyScript() throws {
    try withTemporaryFolder { folder in
      let image = try pattern(width: 8, height: 8, channels: 1).png()
      let files: [Packing.File] = [("käse/ü.png", image), ("日本/b.png", image)]
      try save(Packing.zip(files), folder, "a.zip")
      try save(Packing.tar(files), folder, "a.tar")
      for name in ["a.zip", "a.tar"] {
        #expect(try Dataset.open(folder.appending(path: name).path).classes == ["käse", "日本"])
      }
    }
  }

  @Test func trainAndTestFoldersShareTheirClasses() throws {
    try withTemporaryFolder { folder in
      let image = try pattern(width: 8, height: 8, channels: 1).png()
      for path in ["train/a/1.png", "train/b/1.png", "train/c/1.png", "test/c/1.png", "test/c/2.PNG"] {
        try save(image, folder, path)
      }
      let train = try Dataset.open(folder.path), test = try Dataset.open(folder.path, split: .test)
      #expect(train.count == 3 && train.classes == ["a", "b", "c"] && train.shape.channels == 1)
      #expect(test.count == 2 && test.classes == train.classes)
      #expect(try test.load(1).label == 2)
    }
  }

  @Test func badImagesAreAnErrorOrSkipped() throws {
    try withTemporaryFolder { folder in
      let good = pattern(width: 8, height: 8, channels: 3)
      try save(good.png(), folder, "1.png")
      try save(Array(good.png().dropLast(30)), folder, "2.png")
      try save([], folder, "3.jpg")
      try save(good.jpeg(), folder, "4.jpg")
      let error = #expect(throws: DataError.self) { try Dataset.open(folder.path) }
      #expect(error?.file == folder.path + "/3.jpg" && error?.remedy.contains("--skip-bad-images") == true)
      let data = try Dataset.open(folder.path, skipBadImages: true)
      #expect(data.count == 2 && data.classes.isEmpty)
      #expect(data.skipped.map(\.file).sorted() == [folder.path + "/2.png", folder.path + "/3.jpg"])
      #expect(try data.load(0).pixels == good.planes)
      // Without room to keep them, images are decoded when they are asked for.
      let lazy = try Dataset.open(folder.path, options: .init(skipBadImages: true, memoryLimit: 100))
      #expect(try lazy.load(0) == data.load(0))
    }
  }

  @Test func errorsSayWhatWouldWork() throws {
    try withTemporaryFolder { folder in
      try save(pattern(width: 8, height: 8, channels: 3).png(), folder, "mixed/a.png")
      try save(pattern(width: 9, height: 8, channels: 3).png(), folder, "mixed/b.png")
      try save([1, 2, 3], folder, "text/a.txt")
      try save([1, 2, 3], folder, "text/b.tar")
      try save(try pattern(width: 8, height: 8, channels: 3).png(), folder, "one.png")
      try FileManager.default.createDirectory(at: folder.appending(path: "empty"), withIntermediateDirectories: true)
      for (name, kind, text) in [
        ("mixed", DataError.Kind.mixedSizes, "a.png is 8×8, b.png is 9×8) (pass --image-size N"),
        ("text", .empty, "holds no pictures, only files: 1 .tar, 1 .txt (what works: a folder"),
        ("empty", .empty, "holds no files (what works"),
        ("one.png", .unsupported, "is a single image (name the folder"),
        ("text/a.txt", .corrupt, "archive"), ("text/b.tar", .corrupt, "archive"),
      ] {
        let error = #expect(throws: DataError.self) { try Dataset.open(folder.path + "/" + name) }
        #expect(error?.kind == kind)
        #expect(error?.description.contains(text) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("\n") == false)
      }
      let error = #expect(throws: FileError.self) { try Dataset.open(folder.path + "/nowhere") }
      #expect(error?.description.contains("nowhere: no such file or directory (check the spelling") == true)
      #expect(try Dataset.open("glyphs").isEndless)
    }
  }

  private func photos() throws -> [Packing.File] {
    [
      ("cat/a.png", try pattern(width: 40, height: 30, channels: 1).png()),
      ("cat/b.jpg", try pattern(width: 20, height: 30, channels: 3).jpeg()),
      ("dog/c.jpeg", try pattern(width: 64, height: 64, channels: 3).jpeg()),
      ("dog/deep/d.png", try pattern(width: 16, height: 16, channels: 3).png()),
    ]
  }
}

func save(_ bytes: [UInt8], _ folder: URL, _ path: String) throws {
  let url = folder.appending(path: path)
  try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
  try AtomicFile.write(bytes, to: url)
}
