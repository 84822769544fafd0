import ArgumentParser
import DDPM
import Networks

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `ddpm info`: what a model is and what it costs.
struct InfoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "info",
    abstract: "Show a model's architecture, scheduler and memory needs.",
    discussion: """
      Level by level: channels, parameters and operations; then the scheduler, and the memory that sampling takes:

        ddpm info runs/mnist
        ddpm info runs/mnist --batch 64 --size 32
      """)

  @Argument(help: "A diffusers pipeline directory.")
  var model: String

  @Option(help: "Images computed at once, for the memory estimates; the cpu samples large batches in parts, in less.")
  var batch = 1

  @Option(help: "Image size, such as 32 or 64x48; the model's own by default.")
  var size: ImageSize?

  @Option(help: "text, or json for programs.")
  var format = TalkOptions.Format.text

  func validate() throws {
    guard batch >= 1 else { throw ValidationError("--batch is \(batch); it must be at least 1") }
  }

  func run() throws {
    let report = try ModelReport.report(on: URL(filePath: model), size: size?.value, batch: batch)
    print(format == .json ? report.json.canonicalText : "\(report)", terminator: "")
  }
}

/// `32` or `64x48` (height, then width).
struct ImageSize: ExpressibleByArgument {
  let value: SampleSize

  init?(argument: String) {
    let sides = argument.lowercased().split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    switch sides.count {
    case 1: if let side = sides[0] { value = .init(height: side, width: side) } else { return nil }
    case 2:
      if let height = sides[0], let width = sides[1] { value = .init(height: height, width: width) } else { return nil }
    default: return nil
    }
  }
}
