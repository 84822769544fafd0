#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension Plot {
  /// Scalable: text stays text, in the reader's own typeface.
  public func svg() -> String {
    let scene = PlotScene(self)
    func number(_ value: Double) -> String {
      let text = Axis.fixed(value, decimals: 2).replacing("−", with: "-")
      return text.hasSuffix(".00") ? String(text.dropLast(3)) : text
    }
    func path(_ points: some Sequence<Point>) -> String {
      points.map { "\(number($0.x)),\(number($0.y))" }.joined(separator: " ")
    }
    func hex(_ colour: PlotScene.Colour) -> String {
      "#" + [colour.red, colour.green, colour.blue].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
    func escaped(_ text: String) -> String {
      text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
        .replacing("\"", with: "&quot;")
    }

    var lines = [
      """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width) \(height)" width="\(width)" height="\(height)" \
      role="img" aria-label="\(escaped(title))" font-family="system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, \
      'DejaVu Sans', sans-serif">
      """,
      """
      <rect x="0.5" y="0.5" width="\(width - 1)" height="\(height - 1)" rx="8" fill="\(hex(.card))" \
      stroke="\(hex(.border))"/>
      """,
    ]
    for mark in scene.marks {
      switch mark {
      case .line(let points, let width, let colour, let opacity):
        lines.append(
          """
          <polyline points="\(path(points))" fill="none" stroke="\(hex(colour))" stroke-width="\(number(width))" \
          stroke-linejoin="round" stroke-linecap="round"\(opacity < 1 ? " stroke-opacity=\"\(number(opacity))\"" : "")/>
          """)
      case .dots(let points, let radius, let colour, let opacity):
        // A line of no length with round ends is a dot, in fewer letters than a circle.
        let dots = points.map { "M\(number($0.x)),\(number($0.y))h0" }
        lines.append(
          """
          <path d="\(dots.joined())" stroke="\(hex(colour))" stroke-width="\(number(2 * radius))" \
          stroke-linecap="round"\(opacity < 1 ? " stroke-opacity=\"\(number(opacity))\"" : "")/>
          """)
      case .picture(let image, let from, let to):
        let png = (try? image.png()).map { Data($0).base64EncodedString() } ?? ""
        lines.append(
          """
          <image x="\(number(from.x))" y="\(number(from.y))" width="\(number(to.x - from.x))" \
          height="\(number(to.y - from.y))" preserveAspectRatio="none" href="data:image/png;base64,\(png)"/>
          """)
      case .band(let band, let colour, let opacity):
        let outline = band.map { Point($0.x, $0.high) } + band.reversed().map { Point($0.x, $0.low) }
        lines.append(
          "<polygon points=\"\(path(outline))\" fill=\"\(hex(colour))\" fill-opacity=\"\(number(opacity))\"/>")
      case .text(let text, let at, let size, let anchor, let colour, let isBold, let isVertical):
        let turn = isVertical ? " transform=\"rotate(-90 \(number(at.x)) \(number(at.y)))\"" : ""
        lines.append(
          """
          <text x="\(number(at.x))" y="\(number(at.y))" font-size="\(number(size))" fill="\(hex(colour))" \
          text-anchor="\(anchor.rawValue)"\(isBold ? " font-weight=\"600\"" : "")\(turn)>\(escaped(text))</text>
          """)
      }
    }
    return lines.joined(separator: "\n") + "\n</svg>\n"
  }
}
