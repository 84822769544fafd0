/// e^(x − max x) along the last axis, and what softmax and its logarithm make of it.
struct Exponentials {
  private let maximum: Tensor
  private let exponentials: Tensor
  private let sum: Tensor

  init(of x: Tensor) {
    let axis = x.shape.rank - 1
    // The greater of two halves, which overlap where the count is odd, until one element is left.
    var greatest = x
    while greatest.shape[axis] > 1 {
      let count = greatest.shape[axis]
      let half = (count + 1) / 2
      greatest = greatest.sliced(axis: axis, 0..<half).maximum(greatest.sliced(axis: axis, count - half..<count))
    }
    maximum = greatest
    exponentials = (x - maximum).exp()
    sum = exponentials.sum([axis], keepDimensions: true)
  }

  var shares: Tensor { exponentials / sum }
  /// log Σ eˣ, with a last axis of 1.
  var logSumExp: Tensor { maximum + sum.log() }
}

extension Attention {
  /// (N, heads·d, L) → (N, heads, d, L).
  private func split(_ x: Tensor) -> Tensor { x.reshaped([x.shape[0], heads, x.shape[1] / heads, x.shape[2]]) }

  /// s = scale · qᵀ k: (N, heads, L, L′).
  private func scores(_ q: Tensor, _ k: Tensor) -> Tensor { split(q).matmul(split(k), transposeA: true) * scale }

  /// q, k, v → o = v softmax(s)ᵀ, log Σ exp s.
  func forward(_ x: [Tensor]) -> [Tensor] {
    let (q, k, v) = (x[0], x[1], x[2])
    let exponentials = Exponentials(of: scores(q, k))
    return [
      split(v).matmul(exponentials.shares, transposeB: true).reshaped(q.shape),
      exponentials.logSumExp.reshaped([q.shape[0], heads, q.shape[2]]),
    ]
  }

  /// do, q, k, v, o, log-sum-exp → dq, dk, dv. With p = exp(s − log-sum-exp) and dp = doᵀ v:
  ///
  ///     dv = do p     ds = scale · p (dp − Σ_c do o)     dq = k dsᵀ     dk = q ds
  func gradient(_ x: [Tensor]) -> [Tensor] {
    let (dO, q, k, v, o) = (split(x[0]), x[1], x[2], x[3], split(x[4]))
    let column: Shape = [q.shape[0], heads, q.shape[2], 1]
    let p = (scores(q, k) - x[5].reshaped(column)).exp()
    let dp = dO.matmul(split(v), transposeA: true)
    let ds = scale * p * (dp - (dO * o).sum([2]).reshaped(column))
    return [
      split(k).matmul(ds, transposeB: true).reshaped(q.shape), split(q).matmul(ds).reshaped(k.shape),
      dO.matmul(p).reshaped(v.shape),
    ]
  }
}
