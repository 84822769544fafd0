import Platform

extension Image8 {
  /// A resampling filter. Shrinking stretches it over the source pixels that fall together (antialiasing), as Pillow does.
  public enum Filter: Sendable, CaseIterable {
    case box
    case triangle
    /// Keys' cubic with a = −1/2, Pillow's BICUBIC.
    case bicubic
    /// A sinc windowed over three lobes: the sharpest of these.
    case lanczos

    /// Half the filter's width, in pixels of the smaller image.
    var support: Double {
      switch self {
      case .box: 0.5
      case .triangle: 1
      case .bicubic: 2
      case .lanczos: 3
      }
    }

    func weight(_ signed: Double) -> Double {
      let x = abs(signed)
      switch self {
      // Half open, so that a pixel on the border counts once.
      case .box: return signed > -0.5 && signed <= 0.5 ? 1 : 0
      case .triangle: return max(0, 1 - x)
      case .bicubic:
        let a = -0.5
        if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
        return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
      case .lanczos:
        func sinc(_ x: Double) -> Double { x == 0 ? 1 : sin(x * .pi) / (x * .pi) }
        return x < 3 ? sinc(x) * sinc(x / 3) : 0
      }
    }
  }

  /// The image at another size, filtered along rows, then along columns.
  public func resized(width: Int, height: Int, filter: Filter = .lanczos) -> Image8 {
    precondition(width > 0 && height > 0, "cannot resize to \(width)×\(height)")
    var image = self
    if width != image.width { image = image.filteredRows(to: width, filter) }
    if height != image.height { image = image.filteredColumns(to: height, filter) }
    return image
  }

  /// The middle square, resized to `side` × `side`: how a picture of any size becomes an example.
  public func centreSquare(side: Int, filter: Filter = .lanczos) -> Image8 {
    let edge = min(width, height)
    return cropped(x: (width - edge) / 2, y: (height - edge) / 2, width: edge, height: edge)
      .resized(width: side, height: side, filter: filter)
  }

  private func filteredRows(to width: Int, _ filter: Filter) -> Image8 {
    let taps = Taps(from: self.width, to: width, filter)
    let (from, to) = (self.width * channels, width * channels)
    let bytes = [UInt8](unsafeUninitializedCapacity: to * height) { out, initialized in
      self.bytes.withUnsafeBufferPointer { source in
        for y in 0..<height {
          taps.filterRow(
            UnsafeBufferPointer(rebasing: source[y * from..<(y + 1) * from]), channels: channels,
            into: UnsafeMutableBufferPointer(rebasing: out[y * to..<(y + 1) * to]))
        }
      }
      initialized = to * height
    }
    return Image8(width: width, height: height, channels: channels, bytes: bytes)
  }

  private func filteredColumns(to height: Int, _ filter: Filter) -> Image8 {
    let taps = Taps(from: self.height, to: height, filter)
    let row = width * channels
    var sums = [Int32](repeating: 0, count: row)
    let bytes = [UInt8](unsafeUninitializedCapacity: row * height) { out, initialized in
      self.bytes.withUnsafeBufferPointer { source in
        sums.withUnsafeMutableBufferPointer { sums in
          for y in 0..<height {
            for x in 0..<row { sums[x] = 1 << (Taps.bits - 1) }
            for (i, weight) in taps.weights(of: y).enumerated() {
              let start = (taps.first[y] + i) * row
              for x in 0..<row { sums[x] &+= Int32(source[start + x]) &* weight }
            }
            for x in 0..<row { out[y * row + x] = Taps.clamp(sums[x]) }
          }
        }
      }
      initialized = row * height
    }
    return Image8(width: width, height: height, channels: channels, bytes: bytes)
  }
}

/// For each output position of a resampling: the first input it reads, and its weights, which sum to one.
struct Taps {
  private(set) var first: [Int] = []
  /// Of all positions one after another; those of position x are `weights[starts[x]..<starts[x + 1]]`.
  private var weights: [Int32] = []
  private var starts = [0]
  /// Weights are fixed-point, so that results are the same on every machine.
  static let bits: Int32 = 22

  init(from inputs: Int, to outputs: Int, _ filter: Image8.Filter) {
    let scale = Double(inputs) / Double(outputs)
    let stretch = max(scale, 1)
    let support = filter.support * stretch
    for position in 0..<outputs {
      let centre = (Double(position) + 0.5) * scale
      let low = max(0, Int(centre - support + 0.5))
      let high = min(inputs, Int(centre + support + 0.5))
      let raw = (low..<high).map { filter.weight((Double($0) - centre + 0.5) / stretch) }
      let sum = raw.reduce(0, +)
      first.append(low)
      weights += raw.map { Int32(($0 / sum * Double(1 << Self.bits)).rounded()) }
      starts.append(weights.count)
    }
  }

  func weights(of position: Int) -> ArraySlice<Int32> { weights[starts[position]..<starts[position + 1]] }

  /// One row of pixels at the width that the taps are for.
  func filterRow(
    _ row: UnsafeBufferPointer<UInt8>, channels: Int, into out: UnsafeMutableBufferPointer<UInt8>
  ) {
    weights.withUnsafeBufferPointer { weights in
      for x in 0..<first.count {
        let taps = UnsafeBufferPointer(rebasing: weights[starts[x]..<starts[x + 1]])
        for c in 0..<channels {
          var sum: Int32 = 1 << (Self.bits - 1)
          var source = first[x] * channels + c
          for weight in taps {
            sum &+= Int32(row[source]) &* weight
            source += channels
          }
          out[x * channels + c] = Self.clamp(sum)
        }
      }
    }
  }

  @inline(__always)
  static func clamp(_ sum: Int32) -> UInt8 { UInt8(min(max(sum >> bits, 0), 255)) }
}
