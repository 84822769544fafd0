import CKernels

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The convolution algorithms that timing chose on this machine: one line each, `algorithm<tab>problem`.
///
/// The file's name says for which processor, library, kernels and thread count the choices hold.
final class TuningCache {
  private let url: URL?
  private var choices: [String: ConvolutionAlgorithm]
  private let seedURL: URL?
  private let seeds: [String: ConvolutionAlgorithm]
  private var isDirty = false

  /// Grows when a kernel becomes faster or slower: what was chosen before is timed anew.
  private static let kernels = 2

  init?(_ options: CPUBackend.Options) {
    guard options.cacheFolder != nil || options.givenChoices != nil else { return nil }
    let features = "\(ck_amx_available() != 0 ? "amx" : "vector")-\(options.threads)"
    let name =
      "tuning-\(TuningCache.processor)-dnnl\(DNNLEngine.version)-kernels\(TuningCache.kernels)-\(features).txt"
    url = options.cacheFolder?.appending(path: name)
    choices = options.givenChoices.map(Self.parse) ?? url.map(Self.read) ?? [:]
    seedURL = options.seedFolder?.appending(path: name)
    seeds = seedURL.map(Self.read) ?? [:]
  }

  private static func read(_ url: URL) -> [String: ConvolutionAlgorithm] {
    (try? String(contentsOf: url, encoding: .utf8)).map(parse) ?? [:]
  }

  private static func parse(_ text: String) -> [String: ConvolutionAlgorithm] {
    var choices: [String: ConvolutionAlgorithm] = [:]
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: "\t", maxSplits: 1)
      // A line that is not understood is a choice that will be timed again.
      guard fields.count == 2, let algorithm = ConvolutionAlgorithm(rawValue: String(fields[0])) else { continue }
      choices[String(fields[1])] = algorithm
    }
    return choices
  }

  subscript(problem: String) -> ConvolutionAlgorithm? {
    get {
      if let known = choices[problem] { return known }
      guard let seed = seeds[problem] else { return nil }
      self[problem] = seed
      return seed
    }
    set {
      choices[problem] = newValue
      isDirty = true
    }
  }

  func save() {
    guard isDirty, let url else { return }
    Self.write(choices, to: url)
    // What was timed here serves later programs too; what they know already stays.
    if let seedURL { Self.write(choices.merging(seeds) { _, known in known }, to: seedURL) }
    isDirty = false
  }

  /// All choices, as the file has them.
  var text: String { Self.text(choices) }

  private static func text(_ choices: [String: ConvolutionAlgorithm]) -> String {
    choices.sorted { $0.key < $1.key }.map { "\($0.value.rawValue)\t\($0.key)\n" }.joined()
  }

  /// Whether it succeeds or not, this process has its choices.
  private static func write(_ choices: [String: ConvolutionAlgorithm], to url: URL) {
    try? FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    // Atomic: another process may be reading.
    try? Data(text(choices).utf8).write(to: url, options: .atomic)
  }

  /// Vendor, family and model of the processor, or what takes their place on other architectures.
  private static let processor: String = {
    guard let text = try? String(contentsOf: URL(filePath: "/proc/cpuinfo"), encoding: .utf8) else { return "unknown" }
    let wanted = ["vendor_id", "cpu family", "model", "CPU implementer", "CPU part"]
    var found: [String] = []
    for line in text.split(separator: "\n").prefix(40) {
      let fields = line.split(separator: ":", maxSplits: 1).map { $0.filter { !$0.isWhitespace || $0 == " " } }
      guard fields.count == 2, wanted.contains(fields[0]) else { continue }
      found.append(fields[1].filter { $0 != " " })
      if found.count == 3 { break }
    }
    return found.isEmpty ? "unknown" : found.joined(separator: "-")
  }()
}
