/// At most 256 colours that stand for an RGB image's own.
///
/// With no more than 256 the picture is exact. Otherwise boxes of the colour cube are halved, always the one with the largest
/// squared error and across its widest axis (Heckbert 1982; the choice by variance is Wu's, 1991); each becomes its mean.
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
    var index: [Int: UInt8] = [:]
    for (i, box) in boxes.enumerated() {
      colours.append(box.mean.map { UInt8(min(max($0.rounded(), 0), 255)) })
      for cell in box.cells { index[cell.key] = UInt8(i) }
    }
    for i in 0..<area { indices[i] = index[key(i)] ?? 0 }
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
