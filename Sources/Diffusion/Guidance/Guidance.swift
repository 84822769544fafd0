/// How far a prediction is drawn away from a worse one, and at which noise levels.
///
/// Two conventions of w are in use. Here, as in diffusers and Imagen, ε̂ = ε_∅ + w (ε_c − ε_∅): 0 ignores the condition, 1 obeys it, more
/// exaggerates it. Ho & Salimans (2022) write ε̂ = (1 + w′) ε_c − w′ ε_∅, so w = 1 + w′: their 0 is 1 here.
public struct Guidance: Sendable, Hashable {
  /// w.
  public let scale: Double
  /// φ: how much of the conditional prediction's spread the guided one gets back, 0…1 (Lin et al. 2023, section 3.4).
  public let rescale: Double
  /// The noise levels σ̄ = √((1−ᾱ)/ᾱ) that are guided; elsewhere w = 1 (Kynkäänniemi et al. 2024).
  public let interval: ClosedRange<Double>

  /// - Parameters:
  ///   - scale: w, finite; 1 for no guidance.
  ///   - rescale: φ, in [0, 1].
  ///   - interval: of σ̄ = √((1−ᾱ)/ᾱ); all levels unless given.
  public init(scale: Double, rescale: Double = 0, interval: ClosedRange<Double> = 0...Double.infinity) {
    precondition(scale.isFinite, "a guidance scale of \(scale)")
    precondition((0...1).contains(rescale), "a guidance rescale of \(rescale), which lies outside [0, 1]")
    self.scale = scale
    self.rescale = rescale
    self.interval = interval
  }
}

/// Why a prediction cannot be guided.
public enum GuidanceError: Error, Equatable, CustomStringConvertible {
  case nothingToDrop

  public var description: String {
    "guidance compares a class with no class, and no class is asked for: give classes, a weaker model to compare with, or a scale of 1"
  }
}
