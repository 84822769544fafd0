extension XLABackend {
  /// What was found for one kind of accelerator.
  public struct Finding: Sendable {
    /// As `--device` has it.
    public var device: String
    /// The plugin's file, where one was found.
    public var plugin: String?
    /// `PJRT 0.81, StableHLO 1.13.3`, where it could be opened.
    public var version: String?
    /// `NVIDIA H200, 139 GiB`, …: the devices that this process may use.
    public var devices: [String] = []
    /// Why a plugin that was found cannot be used.
    public var problem: String?
    /// Where it was looked for.
    public var searched: [String]
    /// The line that installs a plugin.
    public var install: String
  }

  /// What this machine has of each kind of accelerator; opens every plugin that is found.
  public static func devices() -> [Finding] {
    PluginKind.all.map { kind in
      let (path, searched) = PluginSearch().find(kind)
      var finding = Finding(device: kind.device, plugin: path, searched: searched, install: kind.install)
      guard let path else { return finding }
      do {
        let client = try PJRTClient.shared(path, device: kind.device, indices: [0], cluster: nil)
        finding.version = client.plugin.version
        finding.devices = client.devices.indices.map { index in
          let memory = client.memory(of: index).map { ", \($0.limit >> 30) GiB" } ?? ""
          return client.devices[index].kind + memory
        }
      } catch {
        finding.problem = "\(error)"
      }
      return finding
    }
  }

  /// The file of the plugin for `device`, and the kind of device that it drives.
  static func plugin(for device: String) throws(XLAError) -> (path: String, kind: String) {
    if device.hasPrefix("xla:") {
      let path = String(device.dropFirst("xla:".count))
      return (path, PluginKind.device(ofFile: path))
    }
    guard let kind = PluginKind.all.first(where: { $0.device == device }) else {
      throw .unknownDevice(device, known: PluginKind.all.map(\.device) + ["xla:PATH"])
    }
    let (path, searched) = PluginSearch().find(kind)
    guard let path else { throw .noPlugin(device: device, searched: searched, install: kind.install) }
    return (path, device)
  }
}
