import ArgumentParser
import CPUBackend
import DDPM
import TensorGraph
import XLABackend

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What computes: options of every command that runs a network.
struct BackendOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "What computes: cpu, cuda, tpu, xla:PATH (a PJRT plugin) or reference (slow, 64 bits); 'ddpm devices' lists what there is (default: cpu).",
      valueName: "name"))
  var device: String?
  @Option(
    help: ArgumentHelp(
      "Products of accelerators: float32, fast32 (TF32 on NVIDIA) or bfloat16 (default: float32).", valueName: "name"))
  var precision: String?
  @Option(
    help: ArgumentHelp(
      "Which of an accelerator's devices share each batch, such as 0,1 (default: 0; of several processes on a machine one each).",
      valueName: "list"))
  var devices: IntegerList?
  @Option(
    help: ArgumentHelp("Threads of the cpu that share the computation (default: all processors).", valueName: "n"))
  var threads: Int?

  func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("threads is \(threads); choose 1 to 1024")
    }
  }

  /// The threads that will be used.
  var threadCount: Int { threads ?? CPUBackend.processorCount }

  /// - Parameters:
  ///   - name, precision: where the options leave them open.
  ///   - fixed: Chooses algorithms by a fixed rule instead of by timing them.
  ///   - threads: Instead of those that the options say.
  ///   - choices: Where choices by timing are kept, if not in the user's cache.
  ///   - given: Choices by timing that another process has made, in place of any that are kept.
  ///   - joined: Whether the accelerators of all ranks share each batch.
  func make(
    _ name: String = "cpu", precision usual: String = "float32", fixed: Bool = false, profiles: Bool = false,
    threads: Int? = nil, choices: URL? = nil, given: String? = nil, joined: Bool = false
  ) throws -> any Backend {
    let name = device ?? name
    let isHost = name == "cpu" || name == "reference"
    // A run that was narrow on an accelerator may go on here.
    let precision = precision ?? (isHost ? XLAPrecision.float32.rawValue : usual)
    switch name {
    case "cpu", "reference":
      guard precision == XLAPrecision.float32.rawValue else {
        throw ValidationError("--precision \(precision) is for accelerators, not for --device \(name)")
      }
      if joined { throw ValidationError("--reduction device is for accelerators, not for --device \(name)") }
      if devices != nil { throw ValidationError("--devices is for accelerators, not for --device \(name)") }
      return name == "cpu" ? processor(fixed, profiles, threads, choices, given) : ReferenceBackend()
    default:
      if profiles { throw ValidationError("--profile times the cpu, not --device \(name)") }
      guard let precision = XLAPrecision(rawValue: precision) else {
        throw ValidationError(
          "--precision \(precision): choose \(XLAPrecision.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      do {
        return try XLABackend(
          device: name, precision: precision, indices: devices?.values ?? [usualDevice], isRepeatable: fixed,
          cluster: joined ? XLACluster(Launch.ranks) : nil)
      } catch XLAError.unknownDevice {
        throw ValidationError("there is no device \(name); choose cpu, cuda, tpu, xla:PATH or reference")
      }
    }
  }

  /// The first that is there; of several processes on a machine each has its own, unless the launcher shows each no more than one.
  private var usualDevice: Int {
    let shown = ProcessInfo.processInfo.environment["CUDA_VISIBLE_DEVICES"]?.split(separator: ",").count
    return Launch.localRank % max(1, shown ?? .max)
  }

  private func processor(_ fixed: Bool, _ profiles: Bool, _ threads: Int?, _ choices: URL?, _ given: String?)
    -> CPUBackend
  {
    var options = CPUBackend.Options(threads: threads ?? threadCount, tuning: fixed ? .fixed : .timed)
    options.profiles = profiles
    if let choices {
      // A run keeps its own; it starts with what earlier programs of this user have timed.
      (options.cacheFolder, options.seedFolder) = (choices, options.cacheFolder)
    }
    if let given { (options.cacheFolder, options.givenChoices) = (nil, given) }
    return CPUBackend(options)
  }

  /// The times of an executable that was compiled for profiling.
  func profile(of executable: any Executable) -> Profile? { (executable as? CPUExecutable)?.profile }
}
