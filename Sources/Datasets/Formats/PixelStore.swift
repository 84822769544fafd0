/// Images held in memory, decoded, one after another.
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

  func load(_ index: Int) -> Example {
    let start = index * shape.count
    return Example(pixels: Array(pixels[start..<start + shape.count]), label: labels[index])
  }

  /// The same images as squares of another size, or with other channels.
  func fitted(side: Int?, channels: Int?) -> PixelStore {
    let target = ImageShape(
      channels: channels ?? shape.channels, height: side ?? shape.height, width: side ?? shape.width)
    guard target != shape else { return self }
    let source = self
    let pixels = UnsafePixels(count: count * target.count)
    concurrently(count) { i in
      let image = source.shape.image(source.load(i).pixels).fitted(side: side, channels: target.channels)
      pixels.set(image.planes, at: i * target.count)
    }
    return PixelStore(shape: target, pixels: pixels.take(), labels: labels)
  }
}

/// Memory that many threads fill at once, each its own part.
final class UnsafePixels: @unchecked Sendable {
  private let buffer: UnsafeMutableBufferPointer<UInt8>

  init(count: Int) {
    buffer = .allocate(capacity: count)
    buffer.initialize(repeating: 0)
  }

  deinit { buffer.deallocate() }

  /// Threads must not write the same place.
  func set(_ bytes: [UInt8], at start: Int) {
    precondition(
      start >= 0 && start + bytes.count <= buffer.count, "\(bytes.count) bytes at \(start) of \(buffer.count)")
    for (i, byte) in bytes.enumerated() { buffer[start + i] = byte }
  }

  /// A copy of all, once the threads are done; images marked false are left out.
  func take(keeping kept: [Bool]? = nil) -> [UInt8] {
    guard let kept, kept.contains(false) else { return Array(buffer) }
    let size = kept.isEmpty ? 0 : buffer.count / kept.count
    var out: [UInt8] = []
    out.reserveCapacity(buffer.count)
    for (i, keep) in kept.enumerated() where keep { out.append(contentsOf: buffer[i * size..<(i + 1) * size]) }
    return out
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
