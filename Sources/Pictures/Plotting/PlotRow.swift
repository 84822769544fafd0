import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Plots of one size side by side in one picture.
public struct PlotRow: Sendable {
  public var plots: [Plot]

  public init(_ plots: [Plot]) {
    precondition(!plots.isEmpty, "a row of no plots")
    self.plots = plots
  }

  private var width: Int { plots.reduce(0) { $0 + $1.width } }
  private var height: Int { plots.reduce(0) { max($0, $1.height) } }

  public func image() -> Image8 {
    let images = plots.map { $0.image() }
    var row = Image8(
      width: images.reduce(0) { $0 + $1.width }, height: images.reduce(0) { max($0, $1.height) }, channels: 3, fill: 255
    )
    var x = 0
    for image in images {
      row.paste(image, x: x, y: 0)
      x += image.width
    }
    return row
  }

  public func svg() -> String {
    var text = """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width) \(height)" width="\(width)" height="\(height)">

      """
    var x = 0
    for plot in plots {
      // SVG pictures may stand in one another, each at its place.
      text += plot.svg().replacing("<svg ", with: "<svg x=\"\(x)\" ", maxReplacements: 1)
      x += plot.width
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
