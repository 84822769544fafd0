import ArgumentParser
import DDPM
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `ddpm run`: one evaluation of a network on tensors from a file.
struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run a model's network once on tensors from a file.",
    discussion: """
      The input file holds 'sample' (N, C, H, W), 'timestep' (N), counted from 0 as diffusers does, and 'class_labels' \
      where the model has classes. The output file gets 'output'; with --gradients and a tensor 'target' also 'loss', the \
      mean squared error, and 'grad.NAME' for each parameter:

        ddpm run runs/mnist --inputs in.safetensors --outputs out.safetensors
      """)

  @Argument(help: "A diffusers pipeline directory.")
  var model: String

  @Option(help: "The safetensors file to read.")
  var inputs: String

  @Option(help: "The safetensors file to write.")
  var outputs: String

  @Flag(help: "Also write the loss and its gradients.")
  var gradients = false

  @OptionGroup var backend: BackendOptions

  func run() throws {
    let written = try NetworkRun.run(
      model: URL(filePath: model), inputs: URL(filePath: inputs), outputs: URL(filePath: outputs), gradients: gradients,
      // Timing algorithms takes longer than the one run for which they would be chosen.
      on: backend.make(repeatable: true))
    print("\(outputs): \(written.count) tensors")
    for tensor in written where !tensor.name.hasPrefix("grad.") { print("  \(tensor.name) \(tensor.shape)") }
  }
}
