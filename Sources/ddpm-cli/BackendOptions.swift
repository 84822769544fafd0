import ArgumentParser
import CPUBackend
import DDPM
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What computes: options of every command that runs a network.
struct BackendOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Threads that share the computation (default: all processors).", valueName: "n"))
  var threads: Int?

  func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("threads is \(threads); choose 1 to 1024")
    }
  }

  /// The threads that will be used.
  var threadCount: Int { threads ?? CPUBackend.processorCount }

  /// - Parameters:
  ///   - fixed: Chooses algorithms by a fixed rule instead of by timing them.
  ///   - threads: Instead of those that the options say.
  ///   - choices: Where choices by timing are kept, if not in the user's cache.
  func make(fixed: Bool = false, profiles: Bool = false, threads: Int? = nil, choices: URL? = nil) -> CPUBackend {
    var options = CPUBackend.Options(threads: threads ?? threadCount, tuning: fixed ? .fixed : .timed)
    options.profiles = profiles
    if let choices {
      // A run keeps its own; it starts with what earlier programs of this user have timed.
      (options.cacheFolder, options.seedFolder) = (choices, options.cacheFolder)
    }
    return CPUBackend(options)
  }

  /// The times of an executable that was compiled for profiling.
  func profile(of executable: any Executable) -> Profile? { (executable as? CPUExecutable)?.profile }
}
