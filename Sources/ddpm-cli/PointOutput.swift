import ArgumentParser
import DDPM
import Diffusion
import Files
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension Dataset {
  /// This, for what pictures alone are good for.
  func pictures() throws -> Dataset {
    guard isPixels else { throw ValidationError("\(name) holds points: this command is for pictures") }
    return self
  }
}

/// What `ddpm sample` keeps and writes of samples that are points, in place of pictures.
struct PointOutput {
  private let out: String
  /// x_t and t at each view, all samples of it.
  private var views: [(t: Timestep, x: [Images])] = []
  private let viewCount: Int
  private var seen = 0
  private var finals: [Images] = []
  private var starts: [Images] = []

  /// - Parameter views: of the way, for an animation or the progressive picture; 0 for none.
  init(out: String, views: Int) throws {
    guard PlotRow.canWrite(out) || out.lowercased().hasSuffix(".csv") else {
      throw ValidationError("--out \(out): samples of this model are points: name a .png, .svg or .csv file")
    }
    (self.out, viewCount) = (out, views)
  }

  mutating func look(at step: SamplingStep) {
    let progress = step.progress
    if progress.done == 1 { seen = 0 }
    guard SampleOutput.isView(progress.done, of: progress.count, views: viewCount) else { return }
    if seen == views.count { views.append((progress.transition.to, [])) }
    views[seen].x.append(progress.x)
    seen += 1
  }

  mutating func add(_ samples: Samples) {
    finals.append(samples.final)
    if let start = samples.initialNoise { starts.append(start) }
  }

  /// - Parameters:
  ///   - labels: the class of each sample.
  ///   - score: ∇ln p(x_t) by the network, at N places of the plane; nil where points do not lie in a plane.
  func write(
    labels: [Int?], names: [String], progressive: Bool, animation: String?,
    score: ((Images, Timestep) async throws -> Images)?, on terminal: Terminal
  ) async throws {
    guard !finals.isEmpty else { return }
    let x = Images(joining: finals)
    var pictures = PointPictures(labels: labels, names: names)
    if out.lowercased().hasSuffix(".csv") {
      try AtomicFile.write(pictures.csv(x), to: URL(filePath: out))
    } else {
      try PlotRow([pictures.points(x, title: "Samples"), pictures.density(x, title: "Their density")])
        .write(to: URL(filePath: out))
    }
    terminal.wrote(out)
    // Noise reaches to 3 or so, whatever the data.
    let range = PointPictures.range(of: x)
    pictures.range = min(range.lowerBound, -3.2)...max(range.upperBound, 3.2)
    let joined = views.map { (t: $0.t, x: Images(joining: $0.x)) }
    if progressive {
      var plots: [Plot] = []
      for i in 0..<min(5, joined.count) {
        let view = joined[(i + 1) * joined.count / min(5, joined.count) - 1]
        let title = view.t == .data ? "x_0" : "t = \(view.t)"
        guard let score, view.t != .data else {
          plots.append(pictures.points(view.x, title: title))
          continue
        }
        plots.append(try await field(pictures, view.x, view.t, title: title + ", and the score", score))
      }
      let path = (starts.isEmpty ? [] : [Images(joining: starts)]) + joined.map(\.x)
      plots.append(pictures.trajectories(path, title: "Trajectories"))
      // All three endings have four letters.
      let name = String(out.dropLast(4)) + "-progressive.png"
      try PlotRow(plots, columns: 3).write(to: URL(filePath: name))
      terminal.wrote(name)
    }
    if let animation {
      let frames = joined.map { view in
        var plot = pictures.points(view.x, title: view.t == .data ? "x_0" : "t = \(view.t)")
        plot.pixelsPerPoint = 1
        return plot.image()
      }
      try Animation(frames, delay: 60, lastDelay: 2000).write(to: URL(filePath: animation))
      terminal.wrote(animation, ": \(frames.count) frames")
    }
  }

  /// The points at t and the score around them: one question to the network for all places.
  private func field(
    _ pictures: PointPictures, _ x: Images, _ t: Timestep, title: String,
    _ score: (Images, Timestep) async throws -> Images
  ) async throws -> Plot {
    var places: [Float] = []
    _ = pictures.field(x, title: title) { x, y in
      places += [Float(x), Float(y)]
      return (0, 0)
    }
    let scores = try await score(Images(shape: .init(places.count / 2, 2, 1, 1), scalars: places), t).scalars
    var next = 0
    return pictures.field(x, title: title) { _, _ in
      defer { next += 2 }
      return (Double(scores[next]), Double(scores[next + 1]))
    }
  }
}
