import Files
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Runs tensor programs on an accelerator: XLA by way of a PJRT plugin, which is opened at run time.
public struct XLABackend: Backend {
  /// As it was asked for: `cuda`, `tpu`, `xla:PATH`.
  public let device: String
  /// How accurately products are computed.
  public let precision: XLAPrecision
  /// Which of the client's devices share each batch, counted from 0.
  public let indices: [Int]
  /// Whether two runs give the same bits, where that has its price: on NVIDIA GPUs.
  public let isRepeatable: Bool
  /// The processes whose devices share each batch with these; nil for this one alone.
  public private(set) var cluster: XLACluster?
  /// Where compiled programs are kept; nil keeps none.
  public let cacheFolder: URL?
  package let client: PJRTClient

  /// - Parameters:
  ///   - device: `cuda`, `tpu` or `xla-cpu` (for tests), for which a plugin is looked for, or `xla:PATH` of one.
  ///   - indices: The devices to use. A program of batch N runs on each, so that n devices take batches of n · N.
  ///   - isRepeatable: Whether operations that give other last bits each time are left out.
  ///   - cluster: The processes that share each batch. Each makes the same backend at the same time, compiles the same programs and runs
  ///     them in the same order; a run takes the rows of this one's devices.
  ///   - cacheFolder: Where compiled programs are kept; nil keeps none. Those of a cluster are not kept: all or none must have them.
  /// - Throws: `XLAError`: `.noPlugin` with the places that were looked at and the line that installs one.
  public init(
    device: String, precision: XLAPrecision = .float32, indices: [Int] = [0], isRepeatable: Bool = false,
    cluster: XLACluster? = nil, cacheFolder: URL? = XLABackend.defaultCacheFolder
  ) throws {
    precondition(!indices.isEmpty, "no device to run on")
    for (position, index) in indices.enumerated() where indices[..<position].contains(index) {
      throw XLAError.repeatedDevice(index)
    }
    let (path, kind) = try Self.plugin(for: device)
    (self.device, self.precision, self.isRepeatable, self.cluster) = (device, precision, isRepeatable, cluster)
    self.cacheFolder = cluster == nil ? cacheFolder : nil
    client = try PJRTClient.shared(path, device: kind, indices: indices, cluster: cluster)
    // In a cluster a client sees what it uses and nothing else.
    self.indices = cluster != nil && kind == "cuda" ? Array(indices.indices) : indices
    for index in self.indices where !client.devices.indices.contains(index) {
      throw XLAError.noDevice(plugin: path, index: index, count: client.devices.count)
    }
    if let cluster {
      let counts = client.deviceIDs.map(\.count)
      guard counts.count == cluster.count else {
        throw XLAError.noCluster(plugin: path, expected: cluster.count, found: counts.count)
      }
      for count in counts where count <= self.indices.max() ?? 0 {
        throw XLAError.noDevice(plugin: path, index: self.indices.max() ?? 0, count: count)
      }
    }
  }

  /// The plugin's platform and version, its devices, and the precision.
  public var name: String {
    let kinds = Set(indices.map { client.devices[$0].kind }).sorted().joined(separator: ", ")
    let count = deviceCount == 1 ? "" : "\(deviceCount) × "
    return "XLA \(client.platform) (\(count)\(kinds)), \(client.plugin.version), \(precision.rawValue)"
  }

  /// The platform, the precision and how many share a batch: `XLA cuda bfloat16`.
  public var arithmetic: String {
    "XLA \(client.platform) \(precision.rawValue)" + (deviceCount == 1 ? "" : " on \(deviceCount) devices")
  }
  /// As many as were asked for, in each process of the cluster.
  public var deviceCount: Int { indices.count * processCount }
  /// Those of the cluster.
  public var processCount: Int { cluster?.count ?? 1 }
  /// These devices without those of the other processes.
  public var withinProcess: any Backend {
    var alone = self
    alone.cluster = nil
    return alone
  }
  /// A run is queued, and its outputs wait.
  public var isAsynchronous: Bool { true }

  /// `$XDG_CACHE_HOME/swift-ddpm/xla`, or `~/.cache/swift-ddpm/xla`.
  public static var defaultCacheFolder: URL? {
    PluginSearch().cacheFolder.map { URL(filePath: $0).appending(path: "xla") }
  }

  /// The StableHLO text of `program`, as it would be compiled.
  public static func text(_ program: Program, precision: XLAPrecision = .float32, replicas: Int = 1) -> String {
    Module(program, LoweringOptions(precision: precision, replicas: replicas)).text
  }

  /// Storage on each of the devices.
  public func makeStates(for programs: [Program]) throws -> any States { try XLAStates(for: programs, on: self) }

  /// Compiles by way of StableHLO, or takes what was compiled before from the cache.
  public func compile(_ program: Program, states: any States) throws -> any Executable {
    guard let states = states as? XLAStates, states.client === client, states.indices == indices else {
      throw ExecutionError.foreignStates(expected: "\(XLAStates.self) of \(name)", found: "\(type(of: states))")
    }
    return try XLAExecutable(program, self, states)
  }

  // MARK: Compiling

  /// Compiles a module, or takes it from the cache.
  ///
  /// - Parameter text: Instead of the module's own.
  package func compile(_ module: Module, text: String? = nil) throws -> PJRTExecutable {
    let text = text ?? module.text
    let cache = cacheFolder.map(CompiledCache.init)
    let key = cache == nil ? [] : cacheKey(text)
    if let bytes = cache?.bytes(for: key), let known = try? PJRTExecutable(serialized: bytes, on: client) {
      return known
    }
    let made: PJRTExecutable
    do { made = try PJRTExecutable(text, options: compileOptions, on: client) } catch {
      guard case XLAError.call(_, let plugin, let code, let message) = error, code != XLAError.outOfMemory else {
        throw error
      }
      throw XLAError.compilation(
        operator: module.operatorNamed(in: message), plugin: plugin, version: client.plugin.version, message: message)
    }
    // Not every plugin can put a program into bytes.
    if let cache, let bytes = try? made.serialized() { cache.keep(bytes, for: key) }
    return made
  }

  private var compileOptions: [UInt8] {
    let devices =
      cluster == nil
      ? indices.map { client.devices[$0].id } : client.deviceIDs.flatMap { ids in indices.map { ids[$0] } }
    return CompileOptions.serialized(
      devices: devices,
      flags: isRepeatable && client.platform == "cuda" ? ["xla_gpu_exclude_nondeterministic_ops"] : [])
  }

  package func cacheKey(_ text: String) -> [UInt8] { Array(identity.utf8) + compileOptions + Array(text.utf8) }

  /// What a compiled program depends on beside its text: the plugin's version and file, the devices, and the user's flags.
  private var identity: String {
    let attributes = try? FileManager.default.attributesOfItem(atPath: client.plugin.path)
    let file = [attributes?[.size], attributes?[.modificationDate]].map { "\($0 ?? "")" }.joined(separator: " ")
    let devices = indices.map { client.devices[$0].kind }.joined(separator: ", ")
    // Code for one processor may hold instructions that another lacks.
    let processor =
      client.platform == "cpu"
      ? ((try? String(contentsOf: URL(filePath: "/proc/cpuinfo"), encoding: .utf8)) ?? "").split(separator: "\n")
        .filter { $0.hasPrefix("model name") || $0.hasPrefix("flags") || $0.hasPrefix("CPU part") }.prefix(2)
        .joined(separator: "\n") : ""
    let flags = ProcessInfo.processInfo.environment["XLA_FLAGS"] ?? ""
    return [client.plugin.version, client.platformVersion, file, devices, processor, flags].joined(separator: "\n")
      + "\n"
  }
}
