/// At most 256 colours that stand for an RGB image's own.
///
/// With no more than 256 the picture is exact. Otherwise boxes of the colour cube are halved, always the one with the largest
/// squared error and across its widest axis (Heckbert 1982; the choice by variance is Wu's, 1991); each becomes its mean.
/// What a pixel then lacks is passed on to its neighbours (Floyd and Steinberg 1976), so that gradients stay smooth.
struct Palette {
  private(set) var colours: [[UInt8]] = []
  /// One per pixel.
  private(set) var indices: [UInt8] = []

  /// Colours that share their six high bits in each channel.
  private struct Cell {
    var count = 0.0
    var sum = (0.0, 0.0, 0.0)
    let key: Int

    var mean: [Double] { [sum.0 / count, sum.1 / count, sum.2 / count] }
  }

  private struct Box {
    var cells: [Cell]
    let mean: [Double]
    /// Along each axis, weighted by how many pixels there are.
    let error: [Double]

    init(_ cells: [Cell]) {
      self.cells = cells
      var count = 0.0
      var sum = [0.0, 0.0, 0.0], squares = [0.0, 0.0, 0.0]
      for cell in cells {
        count += cell.count
        for (axis, value) in cell.mean.enumerated() {
          sum[axis] += cell.count * value
          squares[axis] += cell.count * value * value
        }
      }
      mean = sum.map { $0 / count }
      error = (0..<3).map { squares[$0] - sum[$0] * sum[$0] / count }
    }

    var worst: Double { cells.count > 1 ? error[0] + error[1] + error[2] : -1 }

    func halved() -> (Box, Box) {
      let axis = error[0] >= error[1] && error[0] >= error[2] ? 0 : (error[1] >= error[2] ? 1 : 2)
      let sorted = cells.sorted { ($0.mean[axis], $0.key) < ($1.mean[axis], $1.key) }
      // At the mean, but with something on both sides.
      let split = sorted.firstIndex { $0.mean[axis] > mean[axis] } ?? sorted.count / 2
      let cut = min(max(split, 1), sorted.count - 1)
      return (Box(Array(sorted[..<cut])), Box(Array(sorted[cut...])))
    }
  }

  init(_ image: Image8) {
    let pixels = image.bytes
    let area = image.width * image.height
    indices = .init(repeating: 0, count: area)
    if exact(pixels, area) { return }
    colours = []

    func key(_ i: Int) -> Int {
      Int(pixels[3 * i] >> 2) << 12 | Int(pixels[3 * i + 1] >> 2) << 6 | Int(pixels[3 * i + 2] >> 2)
    }
    var cells: [Int: Cell] = [:]
    for i in 0..<area {
      var cell = cells[key(i)] ?? Cell(key: key(i))
      cell.count += 1
      cell.sum.0 += Double(pixels[3 * i])
      cell.sum.1 += Double(pixels[3 * i + 1])
      cell.sum.2 += Double(pixels[3 * i + 2])
      cells[key(i)] = cell
    }
    // Sorted, because a dictionary's order changes from run to run.
    var boxes = [Box(cells.values.sorted { $0.key < $1.key })]
    while boxes.count < 256, let worst = boxes.indices.max(by: { boxes[$0].worst < boxes[$1].worst }),
      boxes[worst].worst > 0
    {
      let (low, high) = boxes[worst].halved()
      boxes[worst] = low
      boxes.append(high)
    }
    colours = boxes.map { box in box.mean.map { UInt8(min(max($0.rounded(), 0), 255)) } }
    diffuse(pixels, image.width, image.height)
  }

  private mutating func diffuse(_ pixels: [UInt8], _ width: Int, _ height: Int) {
    // The colour nearest to the middle of a cell of 4×4×4 values, once it is asked for.
    var nearest = [Int16](repeating: -1, count: 1 << 18)
    let palette = colours.map { colour in colour.map { Int32($0) } }
    func choose(_ r: Int32, _ g: Int32, _ b: Int32) -> Int {
      let cell = Int(r >> 2) << 12 | Int(g >> 2) << 6 | Int(b >> 2)
      if nearest[cell] >= 0 { return Int(nearest[cell]) }
      let (r, g, b) = (r & ~3 | 2, g & ~3 | 2, b & ~3 | 2)
      var best = 0
      var least = Int32.max
      for (i, colour) in palette.enumerated() {
        let (dr, dg, db) = (colour[0] - r, colour[1] - g, colour[2] - b)
        let distance = dr * dr + dg * dg + db * db
        if distance < least { (best, least) = (i, distance) }
      }
      nearest[cell] = Int16(best)
      return best
    }

    // What is owed to the pixels of this row and of the next, in sixteenths; one pixel of margin on both sides.
    var owed = [Int32](repeating: 0, count: 3 * (width + 2)), next = owed
    for y in 0..<height {
      for x in 0..<width {
        let at = 3 * (y * width + x), here = 3 * (x + 1)
        func wanted(_ c: Int) -> Int32 { min(max(Int32(pixels[at + c]) + (owed[here + c] + 8) >> 4, 0), 255) }
        let (r, g, b) = (wanted(0), wanted(1), wanted(2))
        let index = choose(r, g, b)
        indices[y * width + x] = UInt8(index)
        for (c, value) in [r, g, b].enumerated() {
          let error = value - palette[index][c]
          owed[here + 3 + c] += 7 * error
          next[here - 3 + c] += 3 * error
          next[here + c] += 5 * error
          next[here + 3 + c] += error
        }
      }
      owed = next
      next = .init(repeating: 0, count: next.count)
    }
  }

  /// Takes the colours as they are, if they are few enough.
  private mutating func exact(_ pixels: [UInt8], _ area: Int) -> Bool {
    var index: [UInt32: UInt8] = [:]
    for i in 0..<area {
      let colour = UInt32(pixels[3 * i]) << 16 | UInt32(pixels[3 * i + 1]) << 8 | UInt32(pixels[3 * i + 2])
      if let known = index[colour] {
        indices[i] = known
      } else {
        guard colours.count < 256 else { return false }
        index[colour] = UInt8(colours.count)
        indices[i] = UInt8(colours.count)
        colours.append([pixels[3 * i], pixels[3 * i + 1], pixels[3 * i + 2]])
      }
    }
    return true
  }
}
