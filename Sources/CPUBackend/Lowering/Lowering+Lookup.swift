import CKernels
import Platform
import TensorGraph

extension Lowering {
  func lowerGatherRows(_ node: Program.Node) {
    let (table, indices) = (plain(node.operands[0]), plain(node.operands[1]))
    let y = result(node.results[0])
    let shape = shape(node.operands[0])
    let (count, width) = (shape[0], shape.count / shape[0])
    let n = self.shape(node.operands[1])[0]
    emit(
      Step(label: "gatherRows", reads: [table, indices], writes: [y]) { _ in
        for row in 0..<n {
          let index = try checkedIndex(indices.integers[row], count, "gatherRows")
          (y.floats + row * width).update(from: table.floats + index * width, count: width)
        }
      })
  }

  func lowerScatterAddRows(_ node: Program.Node) {
    let (rows, indices) = (plain(node.operands[0]), plain(node.operands[1]))
    let y = result(node.results[0])
    let shape = shape(node.results[0])
    let (count, width) = (shape[0], shape.count / shape[0])
    let n = self.shape(node.operands[1])[0]
    emit(
      Step(label: "scatterAddRows", reads: [rows, indices], writes: [y]) { _ in
        ck_fill(y.floats, shape.count, 0)
        for row in 0..<n {
          let index = try checkedIndex(indices.integers[row], count, "scatterAddRows")
          ck_accumulate(rows.floats + row * width, y.floats + index * width, width)
        }
      })
  }

  func lowerSinusoidalEmbedding(_ node: Program.Node, _ embedding: SinusoidalEmbedding) {
    let t = plain(node.operands[0])
    let y = result(node.results[0])
    let n = shape(node.operands[0])[0]
    let half = embedding.dimension / 2
    let frequencies = (0..<half).map { i in
      pow(embedding.maxPeriod, -Double(i) / (Double(half) - embedding.frequencyShift))
    }
    emit(
      Step(label: "sinusoidalEmbedding", reads: [t], writes: [y]) { _ in
        for sample in 0..<n {
          let row = y.floats + sample * embedding.dimension
          for (i, frequency) in frequencies.enumerated() {
            let angle = Double(t.floats[sample]) * frequency
            row[i] = Float(embedding.flipSinToCos ? cos(angle) : sin(angle))
            row[half + i] = Float(embedding.flipSinToCos ? sin(angle) : cos(angle))
          }
          // An odd dimension ends with a zero.
          if embedding.dimension % 2 == 1 { row[embedding.dimension - 1] = 0 }
        }
      })
  }

  // MARK: Randomness

  /// Noise, or with a rate the mask of dropout.
  func lowerRandom(_ node: Program.Node, _ stream: UInt32, dropoutRate: Double?) {
    let (counters, key) = (plain(node.operands[0]), plain(node.operands[1]))
    let y = result(node.results[0])
    let shape = shape(node.results[0])
    let (n, width) = (shape[0], shape.count / shape[0])
    emit(
      Step(label: dropoutRate == nil ? "gaussianNoise" : "dropoutMask", reads: [counters, key], writes: [y]) { _ in
        let (low, high) = (UInt32(bitPattern: key.integers[0]), UInt32(bitPattern: key.integers[1]))
        func word(_ index: Int) -> UInt32 { UInt32(bitPattern: counters.integers[index]) }
        let samples = (0..<n).map { word(2 * $0) }
        // Samples of one step are drawn by one call, which the threads share.
        var first = 0
        while first < n {
          let step = word(2 * first + 1)
          let last = (first..<n).first { word(2 * $0 + 1) != step } ?? n
          var random = ck_random(seed: UInt64(high) << 32 | UInt64(low), step: step, stream: stream)
          let out = y.floats + first * width
          samples[first..<last].withUnsafeBufferPointer { indices in
            if let dropoutRate {
              ck_random_dropout_mask(&random, indices.baseAddress, last - first, width, Float(dropoutRate), out)
            } else {
              ck_random_normal(&random, indices.baseAddress, last - first, width, out)
            }
          }
          first = last
        }
      })
  }
}

private func checkedIndex(_ index: Int32, _ count: Int, _ op: String) throws(ExecutionError) -> Int {
  guard (0..<count).contains(Int(index)) else { throw .indexOutOfRange(op: op, index: Int(index), count: count) }
  return Int(index)
}
