import Files
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A TensorBoard event file: TFRecord frames around `tensorflow.Event` messages.
///
/// A frame is the length (8 bytes), its masked CRC-32C (4), the message, and the message's masked CRC-32C (4), little-endian.
public final class EventFile {
  private let file: AppendingFile

  /// Starts a new file `events.out.tfevents.…` in `folder`.
  ///
  /// - Parameter firstStep: The step that this run continues from; TensorBoard forgets what earlier files of the folder say beyond it.
  /// - Throws: `FileError`.
  public init(folder: URL, firstStep: Int) throws {
    let now = Date().timeIntervalSince1970
    let name = "events.out.tfevents.\(Int(now)).ddpm.\(ProcessInfo.processInfo.processIdentifier).\(firstStep)"
    file = try AppendingFile(folder.appending(path: name))
    try write(step: 0) { $0.add(3, string: "brain.Event:2") }  // file_version
    // session_log { status: START }
    // Events from that step on are new: TensorBoard drops what earlier files say of them.
    try write(step: firstStep == 0 ? 0 : firstStep + 1) { event in event.add(7) { $0.add(1, integer: 1) } }
  }

  /// One number of a curve.
  public func scalar(_ tag: String, _ value: Double, step: Int) throws {
    try summary(tag, step: step) { $0.add(2, float: Float(value)) }  // simple_value
  }

  /// What was logged at a step, one curve for each number.
  func write(_ metrics: Metrics) throws {
    try scalar("loss", metrics.loss, step: metrics.step)
    for (index, loss) in metrics.lossByQuartile.enumerated() {
      if let loss { try scalar("loss by quarter of t/\(index + 1)", loss, step: metrics.step) }
    }
    try scalar("gradient norm", metrics.gradientNorm, step: metrics.step)
    try scalar("learning rate", metrics.learningRate, step: metrics.step)
    try scalar("images per second", metrics.imagesPerSecond, step: metrics.step)
  }

  /// A picture.
  public func image(_ tag: String, _ image: Image8, step: Int) throws {
    let png = try image.png()
    try summary(tag, step: step) { value in
      value.add(4) {  // image
        $0.add(1, integer: image.height)
        $0.add(2, integer: image.width)
        $0.add(3, integer: image.channels)  // colorspace: 1 grey, 3 RGB
        $0.add(4, bytes: png)  // encoded_image_string
      }
    }
  }

  func synchronise() { file.synchronise() }

  /// Event { summary { value { tag, … } } }
  private func summary(_ tag: String, step: Int, build: (inout ProtobufMessage) -> Void) throws {
    try write(step: step) { event in
      event.add(5) { summary in
        summary.add(1) { value in
          value.add(1, string: tag)
          build(&value)
        }
      }
    }
  }

  private func write(step: Int, build: (inout ProtobufMessage) -> Void) throws {
    var event = ProtobufMessage()
    event.add(1, double: Date().timeIntervalSince1970)  // wall_time
    event.add(2, integer: step)
    build(&event)
    try file.append(Self.frame(event.bytes))
  }

  /// CRC-32C, unmasked.
  package static func checksum(_ bytes: [UInt8]) -> UInt32 { CRC32C.checksum(bytes) }

  package static func frame(_ message: [UInt8]) -> [UInt8] {
    let length = littleEndian(UInt64(message.count))
    return length + littleEndian(CRC32C.masked(length)) + message + littleEndian(CRC32C.masked(message))
  }

  private static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    stride(from: 0, to: value.bitWidth, by: 8).map { UInt8(truncatingIfNeeded: value >> $0) }
  }
}
