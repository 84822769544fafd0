/// Images held in memory, decoded, one after another.
import Files
import Pictures
import Threads

struct PixelStore: ImageSource {
  let shape: ImageShape
  let pixels: [UInt8]
  /// One per image.
  let labels: [Int32]

  init(shape: ImageShape, pixels: [UInt8], labels: [Int32]) {
    precondition(pixels.count == shape.count * labels.count, "\(pixels.count) bytes for \(labels.count) of \(shape)")
    self.shape = shape
    self.pixels = pixels
    self.labels = labels
  }

  var count: Int { labels.count }
  var heldByteCount: Int { pixels.count + labels.count * MemoryLayout<Int32>.stride }

  func load(_ index: Int) -> Example {
    let start = index * shape.count
    return Example(pixels: Array(pixels[start..<start + shape.count]), label: labels[index])
  }

  /// The same images as squares of the options' size, or with other channels.
  ///
  /// - Throws: ``DataError`` where they would take more than the options' limit; `file` is the data's name there.
  func fitted(_ options: Dataset.Options, file: String) throws(DataError) -> PixelStore {
    let side = options.imageSize
    let target = ImageShape(
      channels: options.channels ?? shape.channels, height: side ?? shape.height, width: side ?? shape.width)
    guard target != shape else { return self }
    let total = count.multipliedReportingOverflow(by: target.count)
    guard !total.overflow, total.partialValue <= options.memoryLimit else {
      throw DataError(
        .tooLarge, file: file,
        "\(count) images of \(target) take more than the \(options.memoryLimit >> 20) MiB that data may take",
        remedy: "choose a smaller image size; the data's own is \(shape.height)×\(shape.width)")
    }
    let source = self
    let (pixels, _) = Self.filled(count: count, size: target.count) { i in
      source.shape.image(source.load(i).pixels).fitted(side: side, channels: target.channels).planes
    }
    return PixelStore(shape: target, pixels: pixels, labels: labels)
  }

  /// Images made on all processors, one after another in memory; those that come out nil are left out.
  static func filled(
    count: Int, size: Int, _ image: @escaping @Sendable (Int) -> [UInt8]?
  ) -> (pixels: [UInt8], kept: [Bool]) {
    /// Memory that many threads write at once, each its own part.
    struct Shared<Element>: @unchecked Sendable {
      let buffer: UnsafeMutableBufferPointer<Element>
    }
    var kept = [Bool](repeating: false, count: count)
    let pixels = [UInt8](unsafeUninitializedCapacity: count * size) { buffer, initialized in
      kept.withUnsafeMutableBufferPointer { flags in
        let (target, marks) = (Shared(buffer: buffer), Shared(buffer: flags))
        concurrently(count) { i in
          guard let planes = image(i) else { return }
          precondition(planes.count == size, "an image of \(planes.count) samples among images of \(size)")
          _ = UnsafeMutableBufferPointer(rebasing: target.buffer[i * size..<(i + 1) * size]).initialize(from: planes)
          marks.buffer[i] = true
        }
        // Close the gaps.
        var end = 0
        for i in 0..<count where flags[i] {
          if let base = buffer.baseAddress, end < i {
            (base + end * size).update(from: base + i * size, count: size)
          }
          end += 1
        }
        initialized = end * size
      }
    }
    return (pixels, kept)
  }
}

extension ImageShape {
  /// Planes as an image.
  public func image(_ planes: [UInt8]) -> Image8 {
    Image8(planes: planes, width: width, height: height, channels: channels)
  }
}

extension Image8 {
  /// The middle square at `side` × `side` (nil: as it is), with so many channels.
  func fitted(side: Int?, channels: Int) -> Image8 {
    let image = converted(channels: channels)
    guard let side, image.width != side || image.height != side else { return image }
    return image.centreSquare(side: side)
  }
}
