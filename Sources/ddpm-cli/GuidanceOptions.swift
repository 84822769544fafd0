import ArgumentParser
import DDPM
import Diffusion
import Files
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// How far predictions are drawn towards their class: options of every command that draws pictures.
struct GuidanceOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      w of ε = ε(none) + w (ε(class) - ε(none)): 0 ignores the class, 1 obeys it, more exaggerates it (default: 1). Here w is \
      diffusers' guidance_scale; in Ho & Salimans's own convention, (1 + w') ε(class) - w' ε(none), w = 1 + w'.
      """, valueName: "w"))
  var guidance: Double?
  @Option(
    help: ArgumentHelp("How much of the unguided spread is given back, 0 to 1 (Lin et al. 2023).", valueName: "φ"))
  var guidanceRescale = 0.0
  @Option(
    help: ArgumentHelp(
      "Guide only where the noise per signal, √((1-ᾱ)/ᾱ), is within; LOW,HIGH (Kynkäänniemi et al. 2024).",
      valueName: "list"))
  var guidanceInterval: NumberPair?
  @Option(
    help: ArgumentHelp(
      "Guide away from this worse model, or earlier checkpoint, instead of from no class (autoguidance).",
      valueName: "model"))
  var weaker: String?

  func validate() throws {
    if let guidance, !guidance.isFinite { throw ValidationError("guidance is \(guidance); choose a number, such as 3") }
    guard (0...1).contains(guidanceRescale) else {
      throw ValidationError("guidance-rescale is \(guidanceRescale); choose 0 to 1")
    }
    guard guidance != nil || guidanceRescale == 0 && guidanceInterval == nil && weaker == nil else {
      throw ValidationError("guidance-rescale, guidance-interval and weaker say how --guidance W acts: give it too")
    }
    if let pair = guidanceInterval, !(pair.first >= 0 && pair.first <= pair.second) {
      throw ValidationError("guidance-interval is \(pair.first),\(pair.second); choose 0 ≤ LOW ≤ HIGH")
    }
  }

  /// nil where nothing is asked for.
  var choice: Guidance? {
    guidance.map { w in
      Guidance(
        scale: w, rescale: guidanceRescale,
        interval: guidanceInterval.map { $0.first...$0.second } ?? 0...Double.infinity)
    }
  }

  func weakerModel(on backend: any Backend) throws -> Model? {
    try weaker.map { try Model(URL(filePath: $0), on: backend) }
  }

  /// What decides the pictures.
  func identity(weaker: Model?) throws -> String {
    guard let guidance else { return "none" }
    let interval = guidanceInterval.map { " in \($0.first),\($0.second)" } ?? ""
    return "\(guidance) rescaled \(guidanceRescale)\(interval)"
      + (try weaker.map { " away from \(try $0.fingerprint())" } ?? "")
  }
}

/// Two numbers with a comma between.
struct NumberPair: ExpressibleByArgument {
  let first, second: Double

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    let values = parts.compactMap { Double($0.filter { $0 != " " }) }
    guard parts.count == 2, values.count == 2 else { return nil }
    (first, second) = (values[0], values[1])
  }
}
