import Files
import Pictures

/// Labelled images of one shape: what training and evaluation read.
///
/// ```swift
/// let data = try Dataset.open("photos", split: .train, imageSize: 64)
/// print(data)                              // photos: 5,120 images, 3×64×64, 4 classes (split train)
/// let example = try data.load(7)           // example.pixels: channels × height × width bytes
/// ```
public struct Dataset: Sendable, CustomStringConvertible {
  /// Which part of the data.
  public enum Split: String, Sendable, CaseIterable {
    case train
    case test
  }

  /// Where the images come from.
  public let source: any ImageSource
  /// What the user called it: a path, or `glyphs`.
  public let name: String
  /// The format, in words.
  public let format: String
  /// The part that was found; nil where the data knows no parts, and all of it was taken.
  public let split: Split?
  /// The classes' names, by label; empty when the images are not labelled.
  public let classes: [String]
  /// Images that were left out because they could not be used, with the reason.
  public let skipped: [DataError]
  /// Files that were passed over because their names are none of data, counted by suffix in lower case; `""` is for those
  /// without one.
  public let ignored: [String: Int]
  /// Whether a mirrored image is as good as the original: so for photographs, not for characters.
  public let isMirrorable: Bool

  /// Data of a source of one's own.
  ///
  /// - Parameters:
  ///   - name: what messages and logs call it.
  ///   - classes: by label; as many as there are labels.
  public init(
    _ source: any ImageSource, name: String, format: String, split: Split? = nil, classes: [String] = [],
    skipped: [DataError] = [], ignored: [String: Int] = [:], isMirrorable: Bool = false
  ) {
    self.source = source
    self.name = name
    self.format = format
    self.split = split
    self.classes = classes
    self.skipped = skipped
    self.ignored = ignored
    self.isMirrorable = isMirrorable
  }

  /// The number of images; of an endless source, the number that count as an epoch.
  public var count: Int { source.count }
  /// An endless source makes a new image for every index, beyond ``count`` too.
  public var isEndless: Bool { source.isEndless }
  /// Whether examples are 8-bit pixels; otherwise they are numbers as they are.
  public var isPixels: Bool { source.isPixels }
  /// Of every example; a point of ℝᵈ has d channels and one pixel.
  public var shape: ImageShape { source.shape }
  /// The memory that the images take, in bytes.
  public var heldByteCount: Int { source.heldByteCount }

  /// One example, a pure function of the index.
  ///
  /// - Throws: ``DataError`` or ``FileError`` naming the file that is damaged or gone.
  public func load(_ index: Int) throws -> Example { try source.load(index) }

  public var description: String {
    var text =
      "\(name): \(isEndless ? "endless" : "\(count)") \(isPixels ? "images, \(shape)" : "points of ℝ^\(shape.count)")"
    if !classes.isEmpty { text += ", \(classes.count) classes" }
    if let split { text += " (split \(split.rawValue))" }
    if !skipped.isEmpty { text += ", \(skipped.count) skipped" }
    if !ignored.isEmpty { text += ", ignored \(Self.counted(ignored))" }
    return text.onOneLine
  }

  /// Files by suffix, the most frequent first: `12 .txt, 3 .mp4 and 1 without a suffix`.
  static func counted(_ suffixes: [String: Int]) -> String {
    let sorted = suffixes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
    return list(sorted.map { "\($0.value) \($0.key.isEmpty ? "without a suffix" : $0.key)" }, limit: 5)
  }
}

/// Anything that has images, or other vectors, of one shape.
public protocol ImageSource: Sendable {
  /// How many there are; of an endless source, how many it numbers.
  var count: Int { get }
  /// Whether examples are made as they are asked for.
  var isEndless: Bool { get }
  /// Whether examples are 8-bit pixels; otherwise they are numbers as they are.
  var isPixels: Bool { get }
  /// Of every example.
  var shape: ImageShape { get }
  /// The memory that the images take, in bytes.
  var heldByteCount: Int { get }
  /// One example, a pure function of the index. Called from several threads at once.
  func load(_ index: Int) throws -> Example
}

extension ImageSource {
  /// False: it has ``count`` examples.
  public var isEndless: Bool { false }
  /// True.
  public var isPixels: Bool { true }
  /// 0: each example is made when it is asked for.
  public var heldByteCount: Int { 0 }
}

/// One image, or other vector, and its class.
public struct Example: Sendable, Equatable {
  /// Channels × height × width, one byte a sample; empty where there are ``values``.
  public let pixels: [UInt8]
  /// Numbers as they are, for data that is not pixels: a point of ℝᵈ has d channels and one pixel.
  public let values: [Float]?
  /// The class, from 0; 0 when the images are not labelled.
  public let label: Int32

  /// - Parameter pixels: channels × height × width, one byte a sample.
  public init(pixels: [UInt8], label: Int32) {
    (self.pixels, values, self.label) = (pixels, nil, label)
  }

  /// - Parameter values: channels × height × width, on the model's scale.
  public init(values: [Float], label: Int32) {
    (pixels, self.values, self.label) = ([], values, label)
  }

  /// As the model takes it: the values, or pixels from 0…255 to [−1, 1].
  public var x0: [Float] { values ?? pixels.map { PixelScale.x0($0) } }
}
