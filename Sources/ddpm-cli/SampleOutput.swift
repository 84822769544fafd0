import DDPM
import Files
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What `ddpm sample` keeps of a request until all of it is drawn: only what goes into one picture or file.
struct SampleOutput {
  private let grid: String?
  private let magnification: Int
  private let progressive: Int
  private let frames: Int
  private let keepsTensors: Bool
  private var pictures: [Image8] = []
  private var batches: [Samples] = []
  /// x̂_0 and x_t on the way, for each view all images.
  private var stages: [[Image8]] = []
  private var animation: [[Image8]] = []
  private var seen = (stages: 0, frames: 0)

  init(grid: String?, magnification: Int, progressive: Int, frames: Int, keepsTensors: Bool) {
    self.grid = grid
    self.magnification = magnification
    self.progressive = progressive
    self.frames = frames
    self.keepsTensors = keepsTensors
  }

  /// Whether something needs all images, and not only those that a folder lacks.
  var isWhole: Bool { progressive > 0 || frames > 0 || keepsTensors }

  /// The bytes that are kept until all is written, and take while they are.
  func byteCount(of request: SamplingRequest, _ sequence: SampleSequence) -> Int {
    let size = sequence.denoiser.size
    let image = sequence.denoiser.architecture.channels * size.height * size.width
    let steps = sequence.plan.timesteps.count
    // Each picture once by itself, and once in a grid, a strip or a frame.
    let pictures = 2 * ((grid == nil ? 0 : 1) + min(progressive, steps) + min(frames, steps))
    // x_0, x_T and the noise of the steps, as floats: as drawn, joined, and in the file's order.
    let tensors = keepsTensors ? 3 * MemoryLayout<Float>.stride * (2 + steps) : 0
    return request.samples.count * image * (pictures + tensors)
  }

  mutating func look(at step: SamplingStep) {
    let progress = step.progress
    if progress.done == 1 { seen = (0, 0) }
    // Views at equal distances, the last step always among them.
    if Self.isView(progress.done, of: progress.count, views: progressive) {
      Self.add(progress.x0.pictures, to: &stages, at: &seen.stages)
    }
    if Self.isView(progress.done, of: progress.count, views: frames) {
      Self.add(progress.x.pictures, to: &animation, at: &seen.frames)
    }
  }

  mutating func add(_ samples: Samples) {
    if grid != nil { pictures += samples.pictures }
    if keepsTensors { batches.append(samples) }
  }

  func write(progressiveTo path: String, animation file: String?, tensors: String?, on terminal: Terminal) throws {
    if let grid, !pictures.isEmpty {
      try Output.write(ImageGrid(magnification: magnification).picture(of: pictures), to: grid)
      terminal.wrote(grid)
    }
    if let first = stages.first {
      let rows = first.indices.map { i in stages.map { $0[i] } }
      try Output.write(ImageStrip(magnification: magnification).picture(ofRows: rows), to: path)
      terminal.wrote(path)
    }
    if let file, !animation.isEmpty {
      let frames = animation.map { ImageGrid(magnification: magnification).picture(of: $0) }
      try Animation(frames, delay: 60, lastDelay: 2000).write(to: URL(filePath: file))
      terminal.wrote(file, ": \(frames.count) frames")
    }
    if let tensors, !batches.isEmpty {
      try NoiseFile.write(batches, to: URL(filePath: tensors))
      terminal.wrote(tensors)
    }
  }

  /// Adds a batch's view to those of the batches before.
  private static func add(_ view: [Image8], to views: inout [[Image8]], at index: inout Int) {
    if index < views.count { views[index] += view } else { views.append(view) }
    index += 1
  }

  /// Whether one of `views` equidistant views of `count` steps falls on step `done`.
  static func isView(_ done: Int, of count: Int, views: Int) -> Bool {
    done * min(views, count) / count > (done - 1) * min(views, count) / count
  }
}
