import TensorGraph
import Testing
import XLABackend

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The plugin that the tests run on: the file in `DDPM_PJRT_PLUGIN`, or that of `xla-cpu` where it is found.
enum TestPlugin {
  static let path: String? =
    ProcessInfo.processInfo.environment["DDPM_PJRT_PLUGIN"]
    ?? PluginKind.all.first { $0.device == "xla-cpu" }.flatMap { PluginSearch().find($0).path }

  /// Whether it drives the processor: it then plays as many devices as one likes, and repeats itself to the last bit.
  static let isProcessor = path.map { PluginKind.device(ofFile: $0) == "xla-cpu" } ?? false

  static func backend(
    precision: XLAPrecision = .float32, indices: [Int] = [0], cacheFolder: URL? = nil
  ) throws -> XLABackend {
    try XLABackend(
      device: "xla:\(try #require(path))", precision: precision, indices: indices, cacheFolder: cacheFolder)
  }
}

extension Trait where Self == ConditionTrait {
  /// Skips a test where the plugin has one device.
  static var needsTwoDevices: Self {
    .enabled(if: TestPlugin.isProcessor, "needs two devices: XLA's plugin for the processor plays them")
  }

  /// Skips a test where no plugin is found.
  static var needsPlugin: Self {
    .enabled(
      if: TestPlugin.path != nil,
      "needs a PJRT plugin: pip install --no-deps xla-cpu-pjrt, or set DDPM_PJRT_PLUGIN to the file of one")
  }
}
