/// Lays images out in rows and columns.
public struct ImageGrid: Sendable {
  /// Images in a row; nil makes the grid as square as it can be.
  public var columns: Int?
  /// Pixels between images and around them.
  public var margin: Int
  /// The grey of the margin.
  public var background: UInt8
  /// Each pixel becomes a square of so many pixels.
  public var magnification: Int

  /// - Parameter columns: images in a row; nil makes the grid as square as it can be.
  public init(columns: Int? = nil, margin: Int = 2, background: UInt8 = 255, magnification: Int = 1) {
    self.columns = columns
    self.margin = margin
    self.background = background
    self.magnification = magnification
  }

  /// One picture of all images, row by row. Cells are as large as the largest image; it has colour if any image has.
  public func picture(of images: [Image8]) -> Image8 {
    precondition(!images.isEmpty, "a grid needs at least one image")
    let width = images.reduce(0) { max($0, $1.width) } * magnification
    let height = images.reduce(0) { max($0, $1.height) } * magnification
    let channels = images.reduce(1) { max($0, $1.channels) }
    let columns = min(images.count, max(1, self.columns ?? Self.squareColumns(images.count)))
    let rows = (images.count + columns - 1) / columns
    var picture = Image8(
      width: columns * (width + margin) + margin, height: rows * (height + margin) + margin, channels: channels,
      fill: background)
    for (i, image) in images.enumerated() {
      let (row, column) = i.quotientAndRemainder(dividingBy: columns)
      picture.paste(
        image.magnified(by: magnification), x: margin + column * (width + margin), y: margin + row * (height + margin))
    }
    return picture
  }

  /// ⌈√count⌉
  static func squareColumns(_ count: Int) -> Int {
    var columns = 1
    while columns * columns < count { columns += 1 }
    return columns
  }
}

/// One row of images, such as x_t over t.
public struct ImageStrip: Sendable {
  /// How images are laid out; its ``ImageGrid/columns`` are not looked at.
  public var grid: ImageGrid

  /// - Parameters:
  ///   - margin: pixels between images and around them.
  ///   - magnification: pixels of the result for each pixel, both ways.
  public init(margin: Int = 2, background: UInt8 = 255, magnification: Int = 1) {
    grid = ImageGrid(margin: margin, background: background, magnification: magnification)
  }

  /// One picture of all images, side by side.
  public func picture(of images: [Image8]) -> Image8 {
    var grid = grid
    grid.columns = images.count
    return grid.picture(of: images)
  }

  /// Several rows of equal length, one above the other.
  public func picture(ofRows rows: [[Image8]]) -> Image8 {
    let length = rows.first?.count ?? 0
    precondition(rows.allSatisfy { $0.count == length }, "rows of \(rows.map(\.count)) images are not of equal length")
    var grid = grid
    grid.columns = length
    return grid.picture(of: rows.flatMap { $0 })
  }
}
