import TensorGraph

/// The kernel of each convolution of a program, made once: of the first algorithm, in their order, that can do it.
///
/// The problem alone decides, and the processor: an algorithm chosen by timing would differ from run to run, and with it the last bits.
final class ConvolutionKernels {
  private let options: CPUBackend.Options
  private var made: [ConvolutionProblem: ConvolutionKernel] = [:]

  init(_ options: CPUBackend.Options) { self.options = options }

  func kernel(for problem: ConvolutionProblem) throws(ExecutionError) -> ConvolutionKernel {
    if let kernel = made[problem] { return kernel }
    let kernel = try make(problem)
    made[problem] = kernel
    return kernel
  }

  private func make(_ problem: ConvolutionProblem) throws(ExecutionError) -> ConvolutionKernel {
    // Every shape has a direct algorithm, allowed or not.
    for algorithm in ConvolutionAlgorithm.allCases where options.allows(algorithm) || algorithm == .direct {
      if let kernel = try ConvolutionKernel.make(problem, algorithm, rounds: options.rounds) { return kernel }
    }
    throw .library(
      operation: "convolution \(problem.label)", message: "no algorithm for this shape; oneDNN \(DNNLEngine.version)")
  }
}
