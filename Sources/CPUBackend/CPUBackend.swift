import CKernels
import TensorGraph
import Threads

/// Runs tensor programs on the processor, by our own kernels.
public struct CPUBackend: Backend {
  /// To what the operands of convolutions, of attention and of large matrix products are rounded. Sums, parameters that are trained, moments,
  /// norms and intermediate results are 32 bits in both.
  public enum Precision: String, Sendable, CaseIterable {
    case float32
    /// 16 bits, where the processor multiplies them (``CPUBackend/hasBFloat16``); elsewhere as float32. Convolutions' weights that no program
    /// changes are kept so.
    case bfloat16
  }

  /// Settings. They change the speed, and the last digits of results.
  public struct Options: Sendable {
    /// The threads that share each operator; all processors that the process may use by default.
    public var threads: Int
    /// 32 bits by default.
    public var precision: Precision
    /// The convolution algorithms to choose from: all by default. The direct one does what none of them can, allowed or not.
    public var algorithms: Set<ConvolutionAlgorithm>
    /// Whether each step of a program is timed.
    public var profiles = false

    /// - Parameter threads: at least 1; less is taken for 1.
    public init(
      threads: Int = CPUBackend.processorCount, precision: Precision = .float32,
      algorithms: Set<ConvolutionAlgorithm> = Set(ConvolutionAlgorithm.allCases)
    ) {
      self.threads = max(1, threads)
      self.precision = precision
      self.algorithms = algorithms
    }

    /// Sets the size of the pool of threads that the kernels share. On the engine's thread: each thread has its own.
    func apply() {
      ck_set_threads(Int32(threads))
    }

    func allows(_ algorithm: ConvolutionAlgorithm) -> Bool {
      guard algorithms.contains(algorithm) else { return false }
      return switch algorithm {
      case .amx: CPUBackend.hasAMX
      case .bfloat16: precision == .bfloat16 && ck_bf16_available() != 0
      default: true
      }
    }

    /// Whether products round their operands.
    var rounds: Bool { precision == .bfloat16 && (allows(.amx) || allows(.bfloat16)) }
  }

  /// What it was set to.
  public let options: Options

  /// 1, or as many as threads, each of which then computes rows of its own.
  public let deviceCount: Int

  /// Starts nothing: threads and memory come with the first program.
  public init(_ options: Options = Options()) { self.init(options, deviceCount: 1) }

  private init(_ options: Options, deviceCount: Int) { (self.options, self.deviceCount) = (options, deviceCount) }

  /// Threads, the widest instructions that are used, and the precision where it is not float32.
  public var name: String {
    let instructions = options.allows(.amx) ? "AMX" : String(cString: ck_instructions())
    return "CPU, \(options.threads) thread\(options.threads == 1 ? "" : "s"), \(instructions)"
      + (options.rounds ? ", bfloat16" : "")
  }

  /// The precision, whatever the processor has: a run goes on between processors without a word.
  public var arithmetic: String { options.rounds ? "cpu bfloat16" : "cpu float32" }

  /// 8 MiB a thread: from about there on a batch takes as long an image, or longer.
  public var batchByteCount: Int? { options.threads * 8 << 20 }

  /// Its threads as devices, where each gets some rows: they wait for one another once a run, not at every operator. Not with AMX, where
  /// that was not measured.
  public func sharing(rows: Int) -> any Backend {
    guard rows > 0, rows % options.threads == 0, !options.allows(.amx) else { return self }
    return CPUBackend(options, deviceCount: options.threads)
  }

  /// Whether processor and system grant this process Intel's matrix tiles.
  public static var hasAMX: Bool { ck_amx_available() != 0 }

  /// Whether this processor multiplies bfloat16: by matrix tiles, or by AVX512-BF16.
  public static var hasBFloat16: Bool { hasAMX || ck_bf16_available() != 0 }

  /// The processors that this process may use: those that it is bound to, and no more than its control groups' quotas of time amount to.
  public static var processorCount: Int {
    // Not `Processors.count`: this thread alone may be bound to one, by the pool's library.
    max(1, min(Int(ck_processors()), Processors.quota ?? .max))
  }

  /// Memory is taken when a state is written or compiled with.
  public func makeStates(for programs: [Program]) throws -> any States {
    try CPUStates(for: programs, rounds: options.rounds)
  }

  /// Chooses algorithms and plans the memory.
  ///
  /// - Throws: also `ExecutionError.threadsRefused` where the system grants fewer threads.
  public func compile(_ program: Program, states: any States) throws -> any Executable {
    guard let states = states as? CPUStates else {
      throw ExecutionError.foreignStates(expected: "\(CPUStates.self)", found: "\(type(of: states))")
    }
    // What parameters were read or made in.
    ck_return_freed_memory()
    return try EngineThread.shared.run { () throws -> CPUExecutable in
      options.apply()
      try CPUBackend.startPool(options.threads)
      return try CPUExecutable(program, options, lanes: deviceCount, states)
    }
  }

  /// The most threads that the pool has had so far.
  private static let pool = Monitor(1)

  /// Starts the pool's threads, unless it has had as many.
  private static func startPool(_ threads: Int) throws {
    try pool.change { started in
      guard threads > started else { return }
      try AlignedMemory.checkHeadroom()
      guard ck_start_threads() != 0 else { throw ExecutionError.threadsRefused(count: threads) }
      started = threads
    }
  }
}
