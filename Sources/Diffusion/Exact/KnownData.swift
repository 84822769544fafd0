/// Data whose noised densities q_t are known in closed form, so that what a perfect network would say of x_t is known too.
///
/// Every such density is a sum over hidden causes k, the components of a mixture or the points of a finite set, and all that x_t says
/// follows from P(k | x_t).
public protocol KnownData: Sendable {
  /// d.
  var dimension: Int { get }
  /// Causes of each class, by its number; empty where the data knows no classes.
  var classCounts: [Int] { get }

  /// What each x_t says of its x_0.
  ///
  /// - Parameters:
  ///   - xt: N · d values, one x_t after another.
  ///   - ᾱ: in [0, 1), the same for all.
  ///   - classes: of each x_t the class that its x_0 is known to be of, one that exists; nil for any.
  func posteriors(of xt: [Double], alphaBar ᾱ: Double, classes: [Int?]) -> [ExactPosterior]
}

extension KnownData {
  /// What each x_t says of its x_0, whatever its class.
  public func posteriors(of xt: [Double], alphaBar ᾱ: Double) -> [ExactPosterior] {
    posteriors(of: xt, alphaBar: ᾱ, classes: Array(repeating: nil, count: xt.count / dimension))
  }
}

/// What x_t says of x_0.
public struct ExactPosterior: Sendable {
  /// ln q_t(x_t), in nats.
  public let logDensity: Double
  /// E[x_0 | x_t], d values.
  public let mean: [Double]
  /// E[‖x_0 − E[x_0 | x_t]‖² | x_t], summed over dimensions: its mean over x_t is the least squared error of any x̂_0.
  public let variance: Double
  /// H(k | x_t) in nats: what x_t leaves open of the component, or of the point, that it came from.
  public let causeEntropy: Double
  /// P(c | x_t) for each class c.
  public let classes: [Double]
}

extension ExactPosterior {
  /// ∇ln q_t(x_t) = (√ᾱ E[x_0 | x_t] − x_t) / (1 − ᾱ) (Miyasawa 1961; Efron 2011, "Tweedie's formula").
  public func score(of xt: [Double], alphaBar ᾱ: Double) -> [Double] {
    zip(mean, xt).map { (ᾱ.squareRoot() * $0 - $1) / (1 - ᾱ) }
  }
}
