import Platform
import Threads

/// A finite set of points, each as likely as another: what a network that has memorised its training set would know.
///
/// q_t is a sum of one Gaussian a point, and E[x_0 | x_t] their softmax-weighted mean. Points are visited in blocks with a running
/// maximum (as in online softmax, Milakov & Gimelshein 2018), so that the memory beyond the points is that of one x_0 for each x_t.
public struct EmpiricalData: KnownData {
  /// d: scalars of a point.
  public let dimension: Int
  /// N: points.
  public let count: Int
  private let points: [Float]
  /// ‖x_i‖².
  private let squares: [Double]
  private let labels: [Int]
  /// Points of each class, by its number; empty for data without classes.
  public let classCounts: [Int]
  /// Points a block: it stays in the cache while all x_t look at it.
  private let block: Int

  /// - Parameters:
  ///   - points: at least one sample, of any shape.
  ///   - labels: the class of each, from 0; none for data without classes.
  public init(_ points: Images, labels: [Int] = []) {
    self.init(points, labels: labels, block: max(1, (1 << 16) / points.shape.dimension))
  }

  package init(_ points: Images, labels: [Int], block: Int) {
    precondition(points.shape.count > 0, "a set of no points")
    precondition(labels.isEmpty || labels.count == points.shape.count, "\(labels.count) labels for \(points.shape)")
    precondition(labels.allSatisfy { $0 >= 0 }, "classes count from 0")
    let (n, d) = (points.shape.count, points.shape.dimension)
    dimension = d
    count = n
    self.points = points.scalars
    self.labels = labels
    classCounts = counted(labels)
    self.block = min(n, block)
    squares = points.scalars.withUnsafeBufferPointer { x in
      (0..<n).map { i in x[i * d..<(i + 1) * d].reduce(0) { $0 + Double($1) * Double($1) } }
    }
  }

  /// Visits all N points for each x_t: N · d operations each, shared by the processors.
  public func posteriors(of xt: [Double], alphaBar ᾱ: Double, classes: [Int?]) -> [ExactPosterior] {
    precondition(ᾱ >= 0 && ᾱ < 1, "ᾱ = \(ᾱ) lies outside [0, 1)")
    precondition(
      xt.count == classes.count * dimension, "\(xt.count) values for \(classes.count) points of ℝ^\(dimension)")
    for case let label? in classes { precondition(classCounts.indices.contains(label), "no point of class \(label)") }
    // Processors share the x_t, neighbours together: a block of points serves all of a share from the cache.
    let shares = classes.count * count * dimension > 1 << 20 ? min(Processors.count, classes.count) : 1
    let found = Monitor([[ExactPosterior]](repeating: [], count: shares))
    concurrently(shares) { share in
      let range = share * classes.count / shares..<(share + 1) * classes.count / shares
      let part = self.posteriors(
        of: xt[range.lowerBound * dimension..<range.upperBound * dimension], alphaBar: ᾱ, classes: classes[range])
      found.change { $0[share] = part }
    }
    return found.change { $0.flatMap(\.self) }
  }

  private func posteriors(of xt: ArraySlice<Double>, alphaBar ᾱ: Double, classes: ArraySlice<Int?>) -> [ExactPosterior]
  {
    let classes = Array(classes)
    var sums = classes.indices.map { n in
      let start = xt.startIndex + n * dimension
      return Running(x: xt[start..<start + dimension], classes: classCounts.count)
    }
    points.withUnsafeBufferPointer { points in
      var scores = [Double](repeating: 0, count: block)
      for start in stride(from: 0, to: count, by: block) {
        let range = start..<min(start + block, count)
        for n in sums.indices {
          for i in range {
            // −‖x_t − √ᾱ x_i‖² / (2 (1 − ᾱ))
            scores[i - start] =
              classes[n] != nil && classes[n] != labels[i]
              ? -.infinity
              : -sums[n].squaredDistance(to: points, at: i * dimension, scale: ᾱ.squareRoot()) / (2 * (1 - ᾱ))
          }
          sums[n].add(scores, range, points: points, squares: squares, labels: labels)
        }
      }
    }
    return sums.indices.map { n in
      // ln q_t = ln Σ_i e^score − ln N − d/2 ln 2π(1 − ᾱ)
      let candidates = classes[n].map { classCounts[$0] } ?? count
      return sums[n].posterior(
        norm: log(Double(candidates)) + 0.5 * Double(dimension) * log(2 * .pi * (1 - ᾱ)))
    }
  }

  /// Sums over the points seen so far of e^{score − largest} times 1, x_i, ‖x_i‖², the score and the class.
  private struct Running {
    private let x: [Double]
    private let rounded: [Float]
    private var largest = -Double.infinity
    private var weight = 0.0
    private var mean: [Double]
    private var square = 0.0
    /// Σ w (score − largest).
    private var exponent = 0.0
    private var classes: [Double]

    init(x: ArraySlice<Double>, classes: Int) {
      self.x = Array(x)
      rounded = x.map { Float($0) }
      mean = Array(repeating: 0, count: x.count)
      self.classes = Array(repeating: 0, count: classes)
    }

    /// ‖x_t − s x_i‖²: sixteen coordinates at a time in Float, the rest in Double, so that points of the plane lose nothing.
    func squaredDistance(to points: UnsafeBufferPointer<Float>, at start: Int, scale: Double) -> Double {
      var j = 0
      var sum = 0.0
      if x.count >= 16 {
        let s = Float(scale)
        var lanes = SIMD16<Float>.zero
        rounded.withUnsafeBytes { x in
          let bytes = UnsafeRawBufferPointer(points)
          while j + 16 <= self.x.count {
            let difference =
              x.loadUnaligned(fromByteOffset: 4 * j, as: SIMD16<Float>.self)
              - s * bytes.loadUnaligned(fromByteOffset: 4 * (start + j), as: SIMD16<Float>.self)
            lanes += difference * difference
            j += 16
          }
        }
        for lane in 0..<16 { sum += Double(lanes[lane]) }
      }
      while j < x.count {
        let difference = x[j] - scale * Double(points[start + j])
        sum += difference * difference
        j += 1
      }
      return sum
    }

    mutating func add(
      _ scores: [Double], _ range: Range<Int>, points: UnsafeBufferPointer<Float>, squares: [Double], labels: [Int]
    ) {
      let top = scores[..<range.count].max() ?? -.infinity
      // Nothing of the class yet.
      guard top > -.infinity else { return }
      if top > largest {
        // What was summed relative to the old maximum, relative to the new.
        let c = largest == -.infinity ? 0 : exp(largest - top)
        if weight > 0 { exponent = c * (exponent + (largest - top) * weight) }
        weight *= c
        square *= c
        for j in mean.indices { mean[j] *= c }
        for k in classes.indices { classes[k] *= c }
        largest = top
      }
      for i in range {
        let score = scores[i - range.lowerBound] - largest
        // Below e^−745 a Double is zero.
        guard score > -745 else { continue }
        let w = exp(score)
        weight += w
        exponent += w * score
        square += w * squares[i]
        if !labels.isEmpty { classes[labels[i]] += w }
        let start = i * x.count
        for j in mean.indices { mean[j] += w * Double(points[start + j]) }
      }
    }

    func posterior(norm: Double) -> ExactPosterior {
      let mean = mean.map { $0 / weight }
      return ExactPosterior(
        logDensity: largest + log(weight) - norm, mean: mean,
        // Rounding may leave a point's own variance just below zero.
        variance: max(0, square / weight - mean.reduce(0) { $0 + $1 * $1 }),
        // H(i | x_t) = ln Σ e^score − Σ P(i | x_t) score
        causeEntropy: max(0, log(weight) - exponent / weight), classes: classes.map { $0 / weight })
    }
  }
}
