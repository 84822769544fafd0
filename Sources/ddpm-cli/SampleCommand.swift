import ArgumentParser
import DDPM
import Diffusion
import Files
import Pictures
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// `ddpm sample`: a model in, pictures out.
struct SampleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sample",
    abstract: "Draw images from a model.",
    discussion: """
      MODEL is a diffusers pipeline directory, such as 'ddpm train' writes:

        ddpm sample runs/mnist --out digits.png
        ddpm sample runs/mnist --count 64 --sampler ddim --steps 50 --out digits.png
        ddpm sample runs/mnist --sampler dpmsolver++ --steps 20 --animate digits.gif

      --out FILE.png writes a grid of all images; any other --out is a folder that gets one PNG for each. Image i depends on \
      the seed and on i, not on --count, --batch-size or --threads: more of the same seed continue the same series.

      The samplers are those of diffusers with the model's own noise schedule: ddpm (the paper's ancestral sampling, all \
      steps by default), ddim (50), dpmsolver++ (second order multistep, 20), heun (25, two predictions each) and euler (50).

      For exact comparison with other software, --initial-noise and --step-noise take the noise from files, and \
      --save-tensors writes 'initial_noise', 'step_noise' and 'final' (N, C, H, W in [-1, 1], before 8-bit decoding).
      """)

  @Argument(help: "A diffusers pipeline directory.")
  var model: String

  @Option(help: ArgumentHelp("Images to draw (default: 16, or as many as --initial-noise holds).", valueName: "n"))
  var count: Int?
  @Option(help: ArgumentHelp("Images computed together: speed and memory, never the images.", valueName: "n"))
  var batchSize = 16
  @Option(help: "\(SamplingMethod.allCases.map(\.rawValue).joined(separator: ", ")).")
  var sampler = SamplingMethod.ddpm
  @Option(help: ArgumentHelp("Steps; fewer than T skip levels.", valueName: "n"))
  var steps: Int?
  @Option(help: "\(TimestepSpacing.help)")
  var spacing: TimestepSpacing?
  @Option(help: ArgumentHelp("ddim: noise of each step, 0 (none) to 1 (as ddpm).", valueName: "η"))
  var eta = 0.0
  @Option(help: ArgumentHelp("Seed of all noise.", valueName: "n"))
  var seed: UInt64 = 0
  @Option(help: "ddpm: \(ReverseVariance.help)")
  var variance: ReverseVariance?
  @Option(help: "Pixels of the last step: its mode, its mean, or a sample.")
  var decoder = DecoderChoice.mode
  @Option(name: .customLong("class"), help: ArgumentHelp("Class to draw (default: each in turn).", valueName: "n"))
  var label: Int?

  @Option(help: ArgumentHelp("FILE.png for a grid, or a folder for one file each.", valueName: "path"))
  var out = "samples.png"
  @Flag(help: "Also write OUT-progressive.png: the prediction of the final image at 10 stages.")
  var progressive = false
  @Option(help: ArgumentHelp("Write the denoising as an animation: FILE.gif, .png (APNG) or .webp.", valueName: "file"))
  var animate: String?

  @Option(help: ArgumentHelp("Tensor 'initial_noise' (N, C, H, W) of this safetensors file is x_T.", valueName: "file"))
  var initialNoise: String?
  @Option(help: ArgumentHelp("Tensor 'step_noise' (steps, N, C, H, W), in the order drawn.", valueName: "file"))
  var stepNoise: String?
  @Option(
    help: ArgumentHelp("Write 'initial_noise', 'step_noise' and 'final' to this safetensors file.", valueName: "file"))
  var saveTensors: String?

  @Flag(help: "Time every operator and print the table.")
  var profile = false
  @OptionGroup(title: "Computation") var backend: BackendOptions

  func run() throws {
    let terminal = Terminal()
    if let animate, Animation.Format(fileName: animate) == nil {
      throw ValidationError("--animate \(animate): name a .gif, .png or .webp file")
    }
    var options = SamplingRun.Options()
    options.batchSize = batchSize
    options.method = sampler
    options.steps = steps
    options.spacing = spacing
    options.η = eta
    options.seed = seed
    options.variance = variance
    options.decoder = decoder.choice
    options.label = label
    options.progressiveCount = progressive ? 10 : 0
    options.frameCount = animate == nil ? 0 : 60
    if let initialNoise { options.initialNoise = try NoiseFile.initial(URL(filePath: initialNoise)) }
    if let stepNoise { options.stepNoise = try NoiseFile.steps(URL(filePath: stepNoise)) }
    options.recordsNoise = saveTensors != nil
    options.count =
      count ?? options.initialNoise?.shape.count ?? options.stepNoise?.first?.shape.count ?? 16
    if !isPNG { try makeFolder() }
    try checkOutputs()

    // Images must not depend on what a timer said.
    let sampling = try SamplingRun(
      model: URL(filePath: model), options: options, on: backend.make(fixed: true, profiles: profile))
    let clock = Countdown()
    let result = try sampling { done, total in
      terminal.live(
        "step \(done)/\(total)  \(Text.duration(clock.left(after: done, of: total))) left  "
          + Text.mebibytes(residentBytes()))
    }
    terminal.end()
    let seconds = clock.elapsed
    terminal.print(
      "\(options.count) image\(options.count == 1 ? "" : "s"), \(sampler.rawValue) in \(sampling.timesteps.count) steps: "
        + "\(Text.duration(seconds)), \(Text.short(Double(options.count) / max(seconds, 1e-9))) images/s")
    try write(result, on: terminal)
    if profile, let profile = backend.profile(of: sampling.executable) { ProfileTable(profile).print(on: terminal) }
  }

  private var isPNG: Bool { out.lowercased().hasSuffix(".png") }

  private func makeFolder() throws {
    do { try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true) } catch {
      throw ValidationError("cannot create the folder \(out): choose an --out that you may write")
    }
  }

  /// Whether the files can be written, before hours are spent on what goes into them.
  private func checkOutputs() throws {
    for path in [isPNG ? out : nil, animate, saveTensors].compactMap({ $0 }) {
      let folder = URL(filePath: path).deletingLastPathComponent().path
      guard access(folder, W_OK) == 0 else {
        throw FileError(verb: "write", path: path, code: errno)
      }
    }
  }

  private func write(_ result: SamplingRun.Result, on terminal: Terminal) throws {
    if isPNG {
      try ImageGrid().picture(of: result.pictures).writePNG(to: URL(filePath: out))
      terminal.print("wrote \(out)")
    } else {
      for (index, picture) in result.pictures.enumerated() {
        try picture.writePNG(to: URL(filePath: out).appending(path: Text.zeroPadded(index, 5) + ".png"))
      }
      terminal.print("wrote \(result.pictures.count) files to \(out)")
    }
    if progressive {
      let path = isPNG ? out.dropLast(4) + "-progressive.png" : out + "/progressive.png"
      let rows = result.pictures.indices.map { i in result.progressive.map { $0[i] } }
      try ImageStrip().picture(ofRows: rows).writePNG(to: URL(filePath: String(path)))
      terminal.print("wrote \(path)")
    }
    if let animate {
      let frames = result.frames.map { ImageGrid().picture(of: $0) }
      try Animation(frames, delay: 60, lastDelay: 2000).write(to: URL(filePath: animate))
      terminal.print("wrote \(animate): \(frames.count) frames")
    }
    if let saveTensors {
      try NoiseFile.write(result, to: URL(filePath: saveTensors))
      terminal.print("wrote \(saveTensors)")
    }
  }
}

/// The decoder's choices by their short names.
enum DecoderChoice: String, CaseIterable, ExpressibleByArgument {
  case mode, mean, sample

  var choice: DiscretizedDecoder.PixelChoice {
    switch self {
    case .mode: .mostProbable
    case .mean: .expectedValue
    case .sample: .sample
    }
  }
}

extension SamplingMethod: ExpressibleByArgument {}
extension TimestepSpacing: ExpressibleByArgument {
  fileprivate static let help = """
    Which levels are visited: leading, linspace or trailing (default: the model's scheduler's, unless that is just its class's \
    default; else leading for ddpm and ddim, linspace for dpmsolver++, heun and euler).
    """
}

extension ReverseVariance: ExpressibleByArgument {
  static let help = "fixed_small, fixed_large, learned or learned_range (default: the model's own)."
}
