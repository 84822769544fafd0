/// A kind of accelerator, and the plugin that drives it.
package struct PluginKind: Sendable, Equatable {
  /// As `--device` has it.
  package let device: String
  /// Where Python's packages put the plugin, seen from `site-packages`; the best first.
  let files: [String]
  /// The line that installs it.
  package let install: String

  package static let all = [
    PluginKind(
      device: "cuda",
      files: ["jax_plugins/xla_cuda13/xla_cuda_plugin.so", "jax_plugins/xla_cuda12/xla_cuda_plugin.so"],
      install: "pip install jax[cuda13]"),
    PluginKind(device: "tpu", files: ["libtpu/libtpu.so"], install: "pip install jax[tpu]"),
    // For tests: the processor has an engine of its own.
    PluginKind(
      device: "xla-cpu", files: ["xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so"],
      install: "pip install --no-deps xla-cpu-pjrt"),
  ]

  /// What a plugin's client is created with. Options are not guessed for a plugin of unknown kind: it may refuse those it does not know.
  ///
  /// - Parameters:
  ///   - indices: Those that the program will use.
  ///   - cluster: The processes whose devices it reaches, of which each has those devices only.
  static func clientOptions(for device: String, indices: [Int], cluster: XLACluster?) -> [String: PJRTOption] {
    var options: [String: PJRTOption] = [:]
    switch device {
    // Memory is taken as it is needed, up to a tenth less than all, so that what is printed is what a run takes.
    case "cuda": options = ["memory_fraction": .float(0.9), "preallocate": .bool(false)]
    // One process can play several devices, within reason.
    case "xla-cpu": options = ["cpu_device_count": .integer(min((indices.max() ?? 0) + 1, 16))]
    default: break
    }
    if let cluster {
      options["num_nodes"] = .integer(cluster.count)
      options["node_id"] = .integer(cluster.rank)
      if device == "cuda" { options["visible_devices"] = .integers(indices) }
    }
    return options
  }

  /// What a file's name does not tell.
  static let unknown = "xla"

  /// The device that a plugin's file name tells.
  package static func device(ofFile path: String) -> String {
    let name = path.split(separator: "/").last.map { $0.lowercased() } ?? ""
    return name.contains("cuda") ? "cuda" : name.contains("tpu") ? "tpu" : name.contains("cpu") ? "xla-cpu" : unknown
  }
}
