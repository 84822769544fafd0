import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Plots of one size in one picture: side by side, in one row or in several.
public struct PlotRow: Sendable {
  /// From left to right, then from top to bottom.
  public var plots: [Plot]
  /// Plots in a row; all of them unless told.
  public var columns: Int

  /// - Parameter columns: plots in a row; nil for all.
  public init(_ plots: [Plot], columns: Int? = nil) {
    precondition(!plots.isEmpty, "a row of no plots")
    precondition(columns ?? 1 > 0, "\(columns ?? 0) plots in a row")
    self.plots = plots
    self.columns = columns ?? plots.count
  }

  /// Each plot's place, in the units of `size`, and the size of all together.
  private func places(_ size: (Plot) -> (width: Int, height: Int)) -> (
    places: [(x: Int, y: Int)], width: Int, height: Int
  ) {
    var places: [(x: Int, y: Int)] = []
    var (x, y, width, height) = (0, 0, 0, 0)
    for (i, plot) in plots.enumerated() {
      if i > 0, i.isMultiple(of: columns) { (x, y) = (0, height) }
      places.append((x, y))
      x += size(plot).width
      (width, height) = (max(width, x), max(height, y + size(plot).height))
    }
    return (places, width, height)
  }

  /// All plots as pixels, on white.
  public func image() -> Image8 {
    let images = plots.map { $0.image() }
    let all = places { plot in
      (Int(Double(plot.width) * plot.pixelsPerPoint), Int(Double(plot.height) * plot.pixelsPerPoint))
    }
    var picture = Image8(width: all.width, height: all.height, channels: 3, fill: 255)
    for (image, place) in zip(images, all.places) { picture.paste(image, x: place.x, y: place.y) }
    return picture
  }

  /// All plots as one SVG document, each a nested one.
  public func svg() -> String {
    let all = places { ($0.width, $0.height) }
    var text = """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(all.width) \(all.height)" width="\(all.width)" height="\(all.height)">

      """
    for (plot, place) in zip(plots, all.places) {
      // SVG pictures may stand in one another, each at its place.
      text += plot.svg().replacing("<svg ", with: "<svg x=\"\(place.x)\" y=\"\(place.y)\" ", maxReplacements: 1)
    }
    return text + "</svg>\n"
  }

  /// Writes `.svg` or `.png`, as the file's name says, whole or not at all.
  ///
  /// - Throws: `DataError` where the name says neither, or `FileError`.
  public func write(to url: URL) throws {
    switch url.pathExtension.lowercased() {
    case "svg": try AtomicFile.write(svg(), to: url)
    case "png": try image().writePNG(to: url)
    default: throw DataError(.unsupported, file: url.path, "names no plot format", remedy: "end it in .svg or .png")
    }
  }

  /// Whether a file of this name can be written.
  public static func canWrite(_ path: String) -> Bool {
    [".svg", ".png"].contains { path.lowercased().hasSuffix($0) }
  }
}
