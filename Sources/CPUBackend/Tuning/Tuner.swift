import CKernels
import Platform
import TensorGraph

/// Chooses the algorithm of each convolution: by timing the candidates once, or by a fixed rule.
///
/// The choices are kept on disk, so that only the first program with a shape pays for the timing.
final class Tuner {
  private let options: CPUBackend.Options
  private let cache: TuningCache?
  private let first: Tuner?
  private var kernels: [String: ConvolutionKernel] = [:]

  /// - Parameter first: what has chosen for the same program; this one chooses the same.
  init(_ options: CPUBackend.Options, like first: Tuner? = nil) {
    self.options = options
    self.first = first
    cache = options.tuning == .timed ? TuningCache(options) : nil
  }

  func kernel(for problem: ConvolutionProblem) throws -> ConvolutionKernel {
    let key = problem.key
    if let kernel = kernels[key] { return kernel }
    let kernel = try choose(problem, key)
    kernels[key] = kernel
    return kernel
  }

  /// Writes new choices to disk. A cache that cannot be written is no reason to fail: the next process times again.
  func save() { cache?.save() }

  private func choose(_ problem: ConvolutionProblem, _ key: String) throws -> ConvolutionKernel {
    if let known = first?.kernels[key]?.algorithm,
      let kernel = try ConvolutionKernel.make(problem, known, rounds: options.rounds)
    {
      return kernel
    }
    // Where AMX can do it nothing else comes near, and bfloat16 was asked for: no need to time.
    for algorithm in [ConvolutionAlgorithm.amx, .bfloat16] where options.allows(algorithm) {
      if let kernel = try ConvolutionKernel.make(problem, algorithm, rounds: options.rounds) { return kernel }
    }
    if let known = cache?[key], options.allows(known), let kernel = try ConvolutionKernel.make(problem, known) {
      return kernel
    }
    var candidates: [ConvolutionKernel] = []
    for algorithm in [ConvolutionAlgorithm.winograd, .thin, .direct, .dnnlWinograd] where options.allows(algorithm) {
      guard let kernel = try ConvolutionKernel.make(problem, algorithm) else { continue }
      candidates.append(kernel)
      // The order is that of preference.
      if options.tuning == .fixed { break }
    }
    // Every shape has a direct algorithm, allowed or not.
    if candidates.isEmpty, let direct = try ConvolutionKernel.make(problem, .direct) { candidates = [direct] }
    guard let first = candidates.first else {
      throw ExecutionError.library(
        operation: "convolution \(problem.key)", message: "no algorithm for this shape; oneDNN \(DNNLEngine.version)")
    }
    guard candidates.count > 1, options.tuning == .timed else { return first }
    let trial = try ConvolutionTrial(problem, candidates)
    var best = first
    var bestTime = Double.infinity
    for candidate in candidates {
      let time = try trial.time(candidate, packing: problem.weights == .changing)
      if time < bestTime { (best, bestTime) = (candidate, time) }
    }
    cache?[key] = best.algorithm
    return best
  }
}

/// Memory on which the candidates for one convolution run.
private final class ConvolutionTrial {
  private let source: AlignedMemory
  private let weights: AlignedMemory
  private let target: AlignedMemory
  private let bias: AlignedMemory
  private let packed: AlignedMemory
  private let scratch: AlignedMemory
  private let problem: ConvolutionProblem

  init(_ problem: ConvolutionProblem, _ candidates: [ConvolutionKernel]) throws(ExecutionError) {
    self.problem = problem
    let float = MemoryLayout<Float>.stride
    let (x, w, y) = (problem.input.count, problem.kernel.count, problem.output.count)
    let operands =
      switch problem.direction {
      case .forward: (x, w, y)
      case .inputGradient: (y, w, x)
      case .weightGradient: (x, y, w)
      }
    source = try AlignedMemory(byteCount: operands.0 * float)
    weights = try AlignedMemory(byteCount: operands.1 * float)
    target = try AlignedMemory(byteCount: operands.2 * float)
    bias = try AlignedMemory(byteCount: problem.kernel[0] * float)
    packed = try AlignedMemory(byteCount: candidates.map(\.packedByteCount).max() ?? 0)
    scratch = try AlignedMemory(byteCount: candidates.map(\.scratchByteCount).max() ?? 0)
    // Ordinary numbers: zeros and denormals have speeds of their own.
    for memory in [source, weights] {
      let floats = memory.base.assumingMemoryBound(to: Float.self)
      for index in 0..<memory.byteCount / float {
        floats[index] = Float((index &* 2_654_435_761) & 0xffff) / 65_536 - 0.5
      }
    }
  }

  /// Seconds for one run: the least of several, for whatever else the machine does only adds.
  func time(_ kernel: ConvolutionKernel, packing: Bool) throws -> Double {
    let w = weights.base.assumingMemoryBound(to: Float.self)
    let packs = kernel.packedByteCount > 0
    let operands = ConvolutionKernel.Operands(
      source: source.base.assumingMemoryBound(to: Float.self), weights: packs ? packed.base : weights.base,
      target: target.base.assumingMemoryBound(to: Float.self),
      bias: problem.direction == .forward ? bias.base.assumingMemoryBound(to: Float.self) : nil,
      biasGradient: problem.direction == .weightGradient ? bias.base.assumingMemoryBound(to: Float.self) : nil)
    if packs { try kernel.pack(w, packed.base, scratch.base) }
    try kernel.run(operands, scratch.base)
    var least = Double.infinity
    for _ in 0..<5 {
      let start = monotonicSeconds()
      if packs, packing { try kernel.pack(w, packed.base, scratch.base) }
      try kernel.run(operands, scratch.base)
      least = min(least, monotonicSeconds() - start)
    }
    return least
  }
}

/// Seconds of the monotonic clock.
func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
