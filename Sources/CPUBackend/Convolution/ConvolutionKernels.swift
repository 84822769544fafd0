import TensorGraph

/// The kernel of each convolution of a program, made once: of the first algorithm, in their order, that can do it.
///
/// The problem alone decides, and the processor: an algorithm chosen by timing would differ from run to run, and with it the last bits.
final class ConvolutionKernels {
  private let options: CPUBackend.Options
  private var made: [ConvolutionProblem: ConvolutionKernel] = [:]

  init(_ options: CPUBackend.Options) { self.options = options }

  func kernel(for problem: ConvolutionProblem) -> ConvolutionKernel {
    if let kernel = made[problem] { return kernel }
    let kernel = make(problem)
    made[problem] = kernel
    return kernel
  }

  private func make(_ problem: ConvolutionProblem) -> ConvolutionKernel {
    for algorithm in ConvolutionAlgorithm.allCases where options.allows(algorithm) {
      if let kernel = ConvolutionKernel.make(problem, algorithm, rounds: options.rounds) { return kernel }
    }
    // Every shape has a direct algorithm, allowed or not.
    return .direct(problem)
  }
}
