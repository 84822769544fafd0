import TensorGraph
import TestSupport
import Testing
import XLABackend

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Finding plugins, and what is said where there is none.
@Suite("Devices")
struct DeviceTests {
  private let cuda = PluginKind.all[0]

  private func touch(_ url: URL) throws {
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data().write(to: url)
  }

  @Test func looksInOrder() throws {
    try withTemporaryFolder { folder in
      let site = "lib/python3.12/site-packages/jax_plugins/xla_cuda13/xla_cuda_plugin.so"
      // From the last place to the first: each is found before those that came before it.
      let python = folder.appending(path: "python")
      try touch(python.appending(path: "bin/python3"))
      var environment = ["PATH": "\(folder.path)/nowhere:\(python.path)/bin"]
      var expected: [URL] = []
      func expectFirst(_ url: URL) throws {
        try touch(url)
        expected.append(url)
        let found = PluginSearch(environment: environment).find(cuda)
        #expect(found.path == url.path)
      }
      #expect(PluginSearch(environment: environment).find(cuda).path == nil)
      try expectFirst(python.appending(path: site))
      environment["HOME"] = folder.appending(path: "home").path
      try expectFirst(folder.appending(path: "home/.local/\(site)"))
      environment["CONDA_PREFIX"] = folder.appending(path: "conda").path
      try expectFirst(folder.appending(path: "conda/\(site)"))
      environment["VIRTUAL_ENV"] = folder.appending(path: "venv").path
      try expectFirst(folder.appending(path: "venv/\(site)"))
      try expectFirst(folder.appending(path: "home/.cache/swift-ddpm/plugins/cuda/some.so"))
      environment["XDG_CACHE_HOME"] = folder.appending(path: "cache").path
      try expectFirst(folder.appending(path: "cache/swift-ddpm/plugins/cuda/other.so"))
      let listed = folder.appending(path: "listed.so")
      environment["PJRT_NAMES_AND_LIBRARY_PATHS"] = "tpu:/nowhere.so,cuda:\(listed.path)"
      try expectFirst(listed)
      let named = folder.appending(path: "named.so")
      environment["DDPM_PJRT_PLUGIN"] = named.path
      try expectFirst(named)
      environment["DDPM_PJRT_PLUGIN"] = "/somewhere/libtpu.so"
      #expect(PluginSearch(environment: environment).find(cuda).path == listed.path)
      #expect(Set(expected).count == 8)
      // Of two, the newer CUDA's.
      let searched = PluginSearch(environment: ["VIRTUAL_ENV": folder.appending(path: "venv").path])
      try touch(folder.appending(path: "venv/lib/python3.12/site-packages/jax_plugins/xla_cuda12/xla_cuda_plugin.so"))
      #expect(searched.find(cuda).path?.contains("xla_cuda13") == true)
    }
  }

  @Test func saysWhatToInstall() throws {
    let (path, searched) = PluginSearch(environment: ["HOME": "/nowhere"]).find(PluginKind.all[1])
    #expect(path == nil && searched.contains("/nowhere/.cache/swift-ddpm/plugins/tpu"))
    let error = XLAError.noPlugin(device: "tpu", searched: searched, install: PluginKind.all[1].install)
    #expect(error.description.contains("`pip install jax[tpu]`") && error.description.contains("/nowhere/.cache"))
    #expect(!error.description.contains("\n"))
    for finding in XLABackend.devices() { #expect(finding.plugin != nil || finding.devices.isEmpty) }
  }

  @Test func refusesWhatIsNoPlugin() throws {
    func message(_ device: String) -> String {
      do {
        _ = try XLABackend(device: device)
        return "accepted"
      } catch { return error is XLAError ? "\(error)" : "untyped: \(error)" }
    }
    #expect(message("gpu") == "there is no device gpu; choose cuda, tpu, xla-cpu, xla:PATH")
    #expect(message("xla:/nowhere/plugin.so").hasPrefix("/nowhere/plugin.so cannot be used as a PJRT plugin"))
    // A library, but no plugin.
    #expect(message("xla:libm.so.6").contains("it has no GetPjrtApi"))
    try withTemporaryFolder { folder in
      let text = folder.appending(path: "text.so")
      try Data("not a library".utf8).write(to: text)
      #expect(message("xla:\(text.path)").contains("cannot be used"))
    }
  }

  @Test(.needsPlugin) func countsDevices() throws {
    let backend = try TestPlugin.backend()
    #expect(backend.name.contains("StableHLO") && backend.name.hasPrefix("XLA "))
    #expect(backend.client.devices.count >= 1)
    // One client for all of the same kind.
    #expect(try TestPlugin.backend().client === backend.client)
  }

  /// An error of the compiler names the operator, the plugin and its StableHLO.
  @Test(.needsPlugin) func namesTheOperatorAtFault() throws {
    let builder = GraphBuilder()
    let x = builder.input("x", [2, 3])
    builder.output("y", (x * 3).softmax())
    let module = Module(try builder.finish(), LoweringOptions())
    // A line of the compiler's own source is no place in the text.
    #expect(module.operatorNamed(in: "at compiler.cc:9 failed: 3 of 4: 5") == nil)
    let broken = module.text.replacing("stablehlo.exponential", with: "stablehlo.exponentially")
    #expect(broken != module.text)
    do {
      _ = try TestPlugin.backend().compile(module, text: broken)
      Issue.record("compiled")
    } catch let error as XLAError {
      guard case .compilation(let op, let plugin, let version, _) = error else { throw error }
      #expect(op == "softmax (%2 [2, 3])")
      #expect(plugin == TestPlugin.path && version.contains("StableHLO 1."))
    }
  }

  @Test func optionsAreSerialised() {
    // For one and for two devices, as `protoc` writes it: replicas 4, partitions 5, assignment 9.
    #expect(
      CompileOptions.serialized(devices: [0])
        == [0x1A, 14, 0x20, 1, 0x28, 1, 0x4A, 8, 0x08, 1, 0x10, 1, 0x1A, 2, 0x08, 0])
    #expect(
      CompileOptions.serialized(devices: [1, 300])
        == [0x1A, 17, 0x20, 2, 0x28, 1, 0x4A, 11, 0x08, 2, 0x10, 1, 0x1A, 5, 0x08, 1, 0x08, 0xAC, 0x02])
  }
}
