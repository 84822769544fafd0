import Platform

/// What many paths from one x_0 say together.
public struct WorkStatistics: Sendable {
  /// w of each path, in nats, independent of one another.
  public let work: [Double]

  /// - Parameter work: in nats, of at least one path.
  public init(_ work: [Double]) {
    precondition(!work.isEmpty, "statistics of no paths")
    self.work = work
  }

  /// ⟨w⟩ = L.
  public var mean: Measured { Measured(mean: work) }

  /// p_θ(x_0) = ⟨e^{−w}⟩ as ln, with the error of the mean divided by it. Dominated by rare paths where w varies by much more than 1: it
  /// then comes out too small.
  public var logLikelihood: Measured {
    // −ln p_θ(x_0) = −ln ⟨e^{−w}⟩
    let log = logMeanExp(work.map { -$0 })
    return Measured(log, error: Measured(mean: work.map { exp(-$0 - log) }).error)
  }

  /// ⟨w⟩ + ln p_θ(x_0) = KL(q(x_{1:T} | x_0) ‖ p_θ(x_{1:T} | x_0)) ≥ 0: what the bound loses.
  public var dissipated: Double { mean.value + logLikelihood.value }

  /// −E ln (1/K) Σ_k e^{−w_k}: a bound that falls with K from L towards −ln p_θ(x_0) (Burda, Grosse & Salakhutdinov 2016, theorem 1).
  ///
  /// - Parameter K: paths a bound, at most as many as there are; the mean is over groups of as many.
  public func bound(samples K: Int) -> Measured {
    precondition((1...work.count).contains(K), "a \(K)-sample bound of \(work.count) paths")
    return Measured(
      mean: stride(from: 0, through: work.count - K, by: K).map { -logMeanExp(work[$0..<$0 + K].map { -$0 }) })
  }

  /// ln of the mean of e^x.
  private func logMeanExp(_ values: [Double]) -> Double { logSumExp(values) - log(Double(values.count)) }
}

/// Crooks's theorem (1999) as a fit: P_F(w)/P_R(w) = e^{w − ΔF}, F over paths from q(x_{1:T} | x_0), R over paths from p_θ(x_{1:T} | x_0), and
/// ΔF = −ln p_θ(x_0).
///
/// Whether a path of work w came from F or from R is then a logistic function of w. Its likeliest slope should be 1, and its offset gives ΔF
/// (Bennett 1976; Shirts, Bair, Hooker & Pande 2003).
public struct CrooksFit: Sendable {
  /// 1 where the theorem holds.
  public let slope: Measured
  /// ΔF in nats, with the slope held at 1.
  public let freeEnergy: Measured

  /// - Parameters:
  ///   - forward: w of paths from q(x_{1:T} | x_0).
  ///   - reverse: w of paths from p_θ(x_{1:T} | x_0).
  public init(forward: [Double], reverse: [Double]) {
    precondition(!forward.isEmpty && !reverse.isEmpty, "a fit needs paths of both kinds")
    // ln P(F | w)/P(R | w) = a (w − c) − b + ln n_F/n_R, about the middle c so that the two parameters are nearly independent.
    let odds = log(Double(forward.count) / Double(reverse.count))
    let all = forward + reverse
    let centre = all.reduce(0, +) / Double(all.count)
    var (a, b) = (1.0, 0.0)
    var curvature = (aa: 0.0, ab: 0.0, bb: 0.0)
    func newton(fixedSlope: Bool) {
      for _ in 0..<100 {
        var gradient = (a: 0.0, b: 0.0)
        curvature = (0, 0, 0)
        for (i, w) in all.enumerated() {
          let x = w - centre
          let p = 1 / (1 + exp(-(a * x - b + odds)))
          let miss = (i < forward.count ? 1 : 0) - p
          gradient.a += miss * x
          gradient.b -= miss
          curvature.aa += p * (1 - p) * x * x
          curvature.ab -= p * (1 - p) * x
          curvature.bb += p * (1 - p)
        }
        let determinant = curvature.aa * curvature.bb - curvature.ab * curvature.ab
        let da = fixedSlope ? 0 : (curvature.bb * gradient.a - curvature.ab * gradient.b) / determinant
        let db =
          fixedSlope ? gradient.b / curvature.bb : (curvature.aa * gradient.b - curvature.ab * gradient.a) / determinant
        guard da.isFinite, db.isFinite else { return }
        a += da
        b += db
        if abs(da) + abs(db) < 1e-12 { return }
      }
    }
    newton(fixedSlope: true)
    freeEnergy = Measured(centre + b, error: (1 / curvature.bb).squareRoot())
    newton(fixedSlope: false)
    let determinant = curvature.aa * curvature.bb - curvature.ab * curvature.ab
    slope = Measured(a, error: (curvature.bb / determinant).squareRoot())
  }
}
