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
      "Products: float32, bfloat16, or on accelerators fast32, which is TF32 on NVIDIA (default: float32).",
      valueName: "name"))
  var precision: String?
  @Option(
    help: ArgumentHelp(
      "Which of an accelerator's devices share each batch, such as 0,1 (default: 0; of several processes on a machine one each).",
      valueName: "list"))
  var devices: IntegerList?
  @Option(
    help: ArgumentHelp(
      "Threads of the cpu that share the computation (default: as many processors as it may use).", valueName: "n"))
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
  ///   - repeatable: Leaves out what makes an accelerator add in an order of its own; the processor has no such thing.
  ///   - threads: Instead of those that the options say.
  ///   - joined: Whether the accelerators of all ranks share each batch.
  func make(
    _ name: String = "cpu", precision usual: String = "float32", repeatable: Bool = false,
    profiles: Bool = false, threads: Int? = nil, joined: Bool = false
  ) throws -> any Backend {
    let name = device ?? name
    if name == "cpu" || name == "reference" {
      if joined { throw ValidationError("--reduction device is for accelerators, not for --device \(name)") }
      if devices != nil { throw ValidationError("--devices is for accelerators, not for --device \(name)") }
    }
    switch name {
    case "cpu":
      var options = CPUBackend.Options(threads: threads ?? threadCount, precision: try hostPrecision(usual))
      options.profiles = profiles
      return CPUBackend(options)
    case "reference":
      if let precision, precision != XLAPrecision.float32.rawValue {
        throw ValidationError("--precision \(precision) is not for --device reference, which computes in 64 bits")
      }
      return ReferenceBackend()
    default:
      if profiles { throw ValidationError("--profile times the cpu, not --device \(name)") }
      let precision = precision ?? usual
      guard let precision = XLAPrecision(rawValue: precision) else {
        throw ValidationError(
          "--precision \(precision): choose \(XLAPrecision.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      do {
        return try XLABackend(
          device: name, precision: precision, indices: devices?.values ?? [usualDevice], isRepeatable: repeatable,
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

  /// The processor's precision.
  ///
  /// - Parameter usual: where the option leaves it open. A run that was fast32 on an accelerator goes on in float32.
  private func hostPrecision(_ usual: String) throws -> CPUBackend.Precision {
    guard let found = CPUBackend.Precision(rawValue: precision ?? usual) else {
      guard let precision else { return .float32 }
      throw ValidationError(
        "--precision \(precision): on the cpu choose \(CPUBackend.Precision.allCases.map(\.rawValue).joined(separator: " or "))"
      )
    }
    if found == .bfloat16, !CPUBackend.hasBFloat16 {
      Terminal.complain("this processor multiplies no bfloat16 (neither AMX nor AVX512-BF16): computing in float32")
    }
    return found
  }

  /// The times of an executable that was compiled for profiling.
  func profile(of executable: any Executable) -> Profile? { (executable as? CPUExecutable)?.profile }
}
