import TensorGraph

extension Lowering {
  /// (…, M, K) × (…, K, N) → (…, M, N), each transposed first if asked.
  func matmul(_ a: HLOValue, _ transposeA: Bool, _ b: HLOValue, _ transposeB: Bool) -> HLOValue {
    let (ra, rb) = (a.type.rank, b.type.rank)
    let shared = ra > 2 && rb > 2 ? Array(0..<ra - 2) : []
    let y = narrow(a).dot(
      narrow(b), batch: shared, contract: (ra - (transposeA ? 2 : 1), rb - (transposeB ? 1 : 2)),
      precision: productPrecision)
    // (M, batch…, N) → (batch…, M, N)
    return ra == 2 && rb > 2 ? y.transposed(Array(1...rb - 2) + [0, rb - 1]) : y
  }

  /// y[n, co, i, j] = bias[co] + Σ w[co, ci, a, b] x[n, ci, s·i + a − top, s·j + b − left]
  func convolution(
    _ c: Convolution, _ x: HLOValue, kernel: HLOValue, bias: HLOValue?, to y: [Int]
  ) -> HLOValue {
    let p = c.padding
    let window = HLOValue.Window(stride: c.stride, padding: [(p.top, p.bottom), (p.left, p.right)])
    let result = narrow(x).convolved(
      narrow(kernel), axes: "[b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1]", window, to: y, precision: productPrecision)
    return bias.map { result + narrow($0).broadcast(y, axes: [1]) } ?? result
  }

  /// dx: dy with s − 1 zeros between its pixels, convolved with the kernel upside down, whose inputs are now the outputs.
  func convolutionInputGradient(_ c: Convolution, dy: HLOValue, kernel: HLOValue, to x: [Int]) -> HLOValue {
    let before = [c.padding.top, c.padding.left]
    let padding = (0..<2).map { i in
      let (k, low) = (kernel.shape[2 + i], kernel.shape[2 + i] - 1 - before[i])
      return (low, x[2 + i] + k - 1 - dilated(dy.shape[2 + i], c.stride) - low)
    }
    return narrow(dy).convolved(
      narrow(kernel).reversed([2, 3]), axes: "[b, f, 0, 1]x[i, o, 0, 1]->[b, f, 0, 1]",
      .init(padding: padding, imageDilation: c.stride), to: x, precision: productPrecision)
  }

  /// dw: x convolved with dy, s − 1 zeros between its pixels; samples take the place of channels.
  func convolutionWeightGradient(_ c: Convolution, _ x: HLOValue, dy: HLOValue, to kernel: [Int]) -> HLOValue {
    let before = [c.padding.top, c.padding.left]
    let padding = (0..<2).map { i -> (Int, Int) in
      let needed = kernel[2 + i] - 1 + dilated(dy.shape[2 + i], c.stride)
      return (before[i], needed - x.shape[2 + i] - before[i])
    }
    return wide(
      narrow(x).convolved(
        narrow(dy), axes: "[f, b, 0, 1]x[i, o, 0, 1]->[f, b, 0, 1]", .init(padding: padding, kernelDilation: c.stride),
        to: kernel, precision: productPrecision))
  }

  /// The size with s − 1 zeros between neighbours.
  private func dilated(_ size: Int, _ stride: Int) -> Int { (size - 1) * stride + 1 }

  // MARK: Attention

  /// For each head: s = scale · qᵀk, p = softmax s, o = v pᵀ; and log Σ exp s.
  func attention(_ attention: Attention, q: HLOValue, k: HLOValue, v: HLOValue) -> [HLOValue] {
    let s = scores(attention, q, k)
    let maximum = s.maximum([3])
    let e = (s - rows(maximum, s.shape)).exp()
    let sum = e.sum([3])
    let p = e / rows(sum, s.shape)
    // (N, heads, d, L): Σ_j v[c, j] p[i, j]
    let o = headProduct(heads(v, attention), p, 3, 3)
    return [narrow(o).reshaped(q.shape), maximum + sum.log()]
  }

  /// ds = p (dp − Σ_c do o), dp[i, j] = Σ_c do[c, i] v[c, j]; dq = scale · k dsᵀ, dk = scale · q ds, dv = do p.
  func attentionGradient(
    _ attention: Attention, dO: HLOValue, q: HLOValue, k: HLOValue, v: HLOValue, o: HLOValue, logSumExp: HLOValue
  ) -> [HLOValue] {
    let s = scores(attention, q, k)
    // p = exp(s − log Σ exp s)
    let p = (s - rows(logSumExp, s.shape)).exp()
    let dHeads = heads(dO, attention)
    let dp = headProduct(dHeads, heads(v, attention), 2, 2)
    let mean = (wide(dHeads) * wide(heads(o, attention))).sum([2])
    let ds = attention.scale * (p * (dp - rows(mean, s.shape)))
    let dq = headProduct(heads(k, attention), ds, 3, 3)
    let dk = headProduct(heads(q, attention), ds, 3, 2)
    let dv = headProduct(dHeads, p, 3, 2)
    return zip([dq, dk, dv], [q, k, v]).map { narrow($0).reshaped($1.shape) }
  }

  /// scale · qᵀk: (N, heads, L, L′).
  private func scores(_ attention: Attention, _ q: HLOValue, _ k: HLOValue) -> HLOValue {
    attention.scale * headProduct(heads(q, attention), heads(k, attention), 2, 2)
  }

  /// (N, heads·d, L) → (N, heads, d, L)
  private func heads(_ x: HLOValue, _ attention: Attention) -> HLOValue {
    x.reshaped([x.shape[0], attention.heads, x.shape[1] / attention.heads, x.shape[2]])
  }

  private func headProduct(_ a: HLOValue, _ b: HLOValue, _ axisA: Int, _ axisB: Int) -> HLOValue {
    narrow(a).dot(narrow(b), batch: [0, 1], contract: (axisA, axisB), precision: productPrecision)
  }

  /// One number a row, along the last axis of `shape`.
  private func rows(_ x: HLOValue, _ shape: [Int]) -> HLOValue { x.broadcast(shape, axes: Array(0..<shape.count - 1)) }

  /// y = eˣ / Σ eˣ along the last axis, the maximum taken off first.
  func softmax(_ x: HLOValue) -> HLOValue {
    let last = x.type.rank - 1
    let e = (x - rows(x.maximum([last]), x.shape)).exp()
    return e / rows(e.sum([last]), x.shape)
  }
}
