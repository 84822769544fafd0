import Platform

extension Reference {
  /// For each head, with q, k, v (d, L):
  ///
  ///     s[i, j] = scale Σ_c q[c, i] k[c, j]     p[i, :] = softmax(s[i, :])     o[c, i] = Σ_j p[i, j] v[c, j]
  ///
  /// - Returns: o, and log Σ_j exp s[i, j] as (N, heads, L).
  static func attention(_ attention: Attention, q: Value, k: Value, v: Value) -> [[Double]] {
    let heads = Heads(attention, q: q.shape, k: k.shape)
    var o = [Double](repeating: 0, count: q.elements.count)
    var logSumExp: [Double] = []
    for head in 0..<heads.count {
      for i in 0..<heads.queries {
        let s = heads.scores(head, i, q.elements, k.elements)
        let maximum = s.reduce(-.infinity) { BinaryOp.maximum($0, $1) }
        logSumExp.append(maximum + log(s.reduce(0) { $0 + exp($1 - maximum) }))
        let p = softmax(Value(shape: [s.count], elements: s))
        for c in 0..<heads.d {
          let channel = heads.key(head, c, 0)
          var sum = 0.0
          for j in 0..<heads.keys { sum += p[j] * v.elements[channel + j] }
          o[heads.query(head, c, i)] = sum
        }
      }
    }
    return [o, logSumExp]
  }

  /// With p = exp(s − log-sum-exp), and dp[i, j] = Σ_c do[c, i] v[c, j]:
  ///
  ///     dv[c, j] = Σ_i p[i, j] do[c, i]     ds[i, j] = p[i, j] (dp[i, j] − Σ_c do[c, i] o[c, i])
  ///     dq[c, i] = scale Σ_j ds[i, j] k[c, j]     dk[c, j] = scale Σ_i ds[i, j] q[c, i]
  static func attentionGradient(
    _ attention: Attention, dOutput: Value, q: Value, k: Value, v: Value, output: Value, logSumExp: [Double]
  ) -> [[Double]] {
    let heads = Heads(attention, q: q.shape, k: k.shape)
    var dq = [Double](repeating: 0, count: q.elements.count)
    var dk = [Double](repeating: 0, count: k.elements.count)
    var dv = [Double](repeating: 0, count: v.elements.count)
    for head in 0..<heads.count {
      for i in 0..<heads.queries {
        let p = heads.scores(head, i, q.elements, k.elements).map { exp($0 - logSumExp[head * heads.queries + i]) }
        var dp = [Double](repeating: 0, count: heads.keys)
        // Σ_j p dp = Σ_c do o, since o = p v.
        var mean = 0.0
        for c in 0..<heads.d {
          let query = heads.query(head, c, i)
          let channel = heads.key(head, c, 0)
          mean += dOutput.elements[query] * output.elements[query]
          for j in 0..<heads.keys {
            dp[j] += dOutput.elements[query] * v.elements[channel + j]
            dv[channel + j] += p[j] * dOutput.elements[query]
          }
        }
        let ds = (0..<heads.keys).map { attention.scale * p[$0] * (dp[$0] - mean) }
        for c in 0..<heads.d {
          let query = heads.query(head, c, i)
          let channel = heads.key(head, c, 0)
          var sum = 0.0
          for j in 0..<heads.keys {
            sum += ds[j] * k.elements[channel + j]
            dk[channel + j] += ds[j] * q.elements[query]
          }
          dq[query] = sum
        }
      }
    }
    return [dq, dk, dv]
  }
}

/// Where the heads of q (N, heads·d, L) and of k and v (N, heads·d, L′) lie.
private struct Heads {
  /// N · heads.
  let count: Int
  let d: Int
  let queries: Int
  let keys: Int
  private let scale: Double

  init(_ attention: Attention, q: Shape, k: Shape) {
    count = q[0] * attention.heads
    d = q[1] / attention.heads
    queries = q[2]
    keys = k[2]
    scale = attention.scale
  }

  func query(_ head: Int, _ c: Int, _ i: Int) -> Int { (head * d + c) * queries + i }
  func key(_ head: Int, _ c: Int, _ j: Int) -> Int { (head * d + c) * keys + j }

  /// s[i, :] = scale Σ_c q[c, i] k[c, :]
  func scores(_ head: Int, _ i: Int, _ q: [Double], _ k: [Double]) -> [Double] {
    var s = [Double](repeating: 0, count: keys)
    for c in 0..<d {
      let channel = key(head, c, 0)
      let factor = scale * q[query(head, c, i)]
      for j in 0..<keys { s[j] += factor * k[channel + j] }
    }
    return s
  }
}
