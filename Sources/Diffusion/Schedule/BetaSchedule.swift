import Platform

/// The rule that gives β_1…β_T.
public enum BetaSchedule: Sendable, Hashable {
  /// Evenly spaced from β_1 to β_T: the paper's, 1e-4 → 0.02 at T = 1000.
  case linear(from: Double = 1e-4, to: Double = 0.02)
  /// Evenly spaced in √β ("quad" in the paper's code, "scaled_linear" in diffusers).
  case scaledLinear(from: Double = 1e-4, to: Double = 0.02)
  /// ᾱ_t ∝ cos²((t/T + 0.008)/1.008 · π/2), β ≤ `cap` (Nichol & Dhariwal 2021, eq. 17; "squaredcos_cap_v2").
  case cosine(cap: Double = 0.999)
  /// The logistic curve between −6 and 6, from β_1 to β_T.
  case sigmoid(from: Double = 1e-4, to: Double = 0.02)
  /// log SNR after the Laplace quantile function, β ≤ `cap` (diffusers' "laplace").
  case laplace(cap: Double = 0.999)
  /// One β for all t.
  case constant(Double = 0.02)
  /// 1/T, 1/(T−1), …, 1: ᾱ_t falls linearly to 0.
  case jsd
  /// Linear over the first `fraction` of the steps, then constant ("warmup10", "warmup50").
  case warmup(fraction: Double, from: Double = 1e-4, to: Double = 0.02)
  /// These values.
  case explicit([Double])

  /// β_1…β_T.
  package func betas(T: Int) -> [Double] {
    switch self {
    case .linear(let first, let last):
      return linspace(first, last, T)
    case .scaledLinear(let first, let last):
      return linspace(first.squareRoot(), last.squareRoot(), T).map { $0 * $0 }
    case .cosine(let cap):
      return Self.betas(T: T, cap: cap) { u in
        let c = cos((u + 0.008) / 1.008 * Double.pi / 2)
        return c * c
      }
    case .sigmoid(let first, let last):
      return linspace(-6, 6, T).map { 1 / (1 + exp(-$0)) * (last - first) + first }
    case .laplace(let cap):
      return Self.betas(T: T, cap: cap) { u in
        let sign = u > 0.5 ? -1.0 : 1.0
        let λ = -0.5 * sign * log(1 - 2 * abs(0.5 - u) + 1e-6)
        let snr = exp(λ)
        return (snr / (1 + snr)).squareRoot()
      }
    case .constant(let β):
      return [Double](repeating: β, count: T)
    case .jsd:
      return (1...T).map { 1 / Double(T - $0 + 1) }
    case .warmup(let fraction, let first, let last):
      let steps = Int(Double(T) * fraction)
      return linspace(first, last, steps) + [Double](repeating: last, count: T - steps)
    case .explicit(let betas):
      return betas
    }
  }

  /// The rule with β multiplied by 1000/T, so that T steps destroy as much as the paper's 1000; rules in t/T need no change.
  func rescaled(T: Int) -> BetaSchedule {
    let k = 1000 / Double(T)
    switch self {
    case .linear(let a, let b): return .linear(from: k * a, to: k * b)
    case .scaledLinear(let a, let b): return .scaledLinear(from: k * a, to: k * b)
    case .sigmoid(let a, let b): return .sigmoid(from: k * a, to: k * b)
    case .constant(let β): return .constant(k * β)
    case .warmup(let fraction, let a, let b): return .warmup(fraction: fraction, from: k * a, to: k * b)
    case .explicit(let betas): return .explicit(betas.map { k * $0 })
    case .cosine, .laplace, .jsd: return self
    }
  }

  /// β_t = min(1 − ᾱ(t/T)/ᾱ((t−1)/T), cap).
  private static func betas(T: Int, cap: Double, ᾱ: (Double) -> Double) -> [Double] {
    (1...T).map { min(1 - ᾱ(Double($0) / Double(T)) / ᾱ(Double($0 - 1) / Double(T)), cap) }
  }
}

extension BetaSchedule {
  /// The rules by diffusers' names and, where diffusers has none, by those of the paper's code.
  public enum Name: String, Sendable, CaseIterable, Codable {
    case linear
    case scaledLinear = "scaled_linear"
    case cosine = "squaredcos_cap_v2"
    case sigmoid, laplace
    case constant = "const"
    case jsd, warmup10, warmup50

    /// Also by the names `quad` and `cosine`, which other programs use.
    public init?(alias name: String) {
      switch name {
      case "quad": self = .scaledLinear
      case "cosine": self = .cosine
      default: self.init(rawValue: name)
      }
    }

    /// Reads the names that other programs use, too.
    public init(from decoder: any Decoder) throws {
      let name = try decoder.singleValueContainer().decode(String.self)
      guard let found = Self(alias: name) else {
        throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: name))
      }
      self = found
    }
  }

  /// The rule of a name, between its first and its last β where it asks for them.
  public init(_ name: Name, from first: Double = 1e-4, to last: Double = 0.02) {
    switch name {
    case .linear: self = .linear(from: first, to: last)
    case .scaledLinear: self = .scaledLinear(from: first, to: last)
    case .cosine: self = .cosine()
    case .sigmoid: self = .sigmoid(from: first, to: last)
    case .laplace: self = .laplace()
    case .constant: self = .constant(last)
    case .jsd: self = .jsd
    case .warmup10: self = .warmup(fraction: 0.1, from: first, to: last)
    case .warmup50: self = .warmup(fraction: 0.5, from: first, to: last)
    }
  }
}

/// `count` evenly spaced values, both ends included.
func linspace(_ first: Double, _ last: Double, _ count: Int) -> [Double] {
  guard count > 1 else { return count == 1 ? [first] : [] }
  let step = (last - first) / Double(count - 1)
  return (0..<count).map { $0 == count - 1 ? last : first + Double($0) * step }
}
