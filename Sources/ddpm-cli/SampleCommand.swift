import ArgumentParser
import DDPM
import Diffusers
import Diffusion
import Files
import Pictures
import Ranks
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `ddpm sample`: a model in, pictures out.
struct SampleCommand: AsyncParsableCommand, RankedCommand {
  static let configuration = CommandConfiguration(
    commandName: "sample",
    abstract: "Draw images from a model.",
    discussion: """
      MODEL is a diffusers pipeline directory, such as 'ddpm train' writes:

        ddpm sample runs/mnist --out digits.png
        ddpm sample runs/mnist --count 64 --sampler ddim --steps 50 --out digits.png
        ddpm sample runs/mnist --class 7 --sampler dpmsolver++ --steps 20 --animate digits.gif
        ddpm sample runs/mnist --count 50000 --sampler ddim --out samples/

      --out FILE.png (.jpg, .webp) writes a grid of all images; FILE.tar gets one PNG for each; any other --out is a folder that gets one \
      PNG for each as it is drawn. - and -.tar are standard output:

        ddpm sample runs/mnist --out - | display
        ddpm sample runs/mnist --count 1000 --out -.tar | ssh HOST tar -x

      A folder that was begun is gone on with: call the same command again. (What --animate, --progressive and --save-tensors \
      write needs all images: with them all are drawn again.) Image i depends on the seed and on i, not on \
      --count, --batch-size or --threads: more of the same seed continue the same series, and --first says where to begin.

      Built with MPI, several processes draw into a folder that all of them see (docs/distributed.md):

        mpirun -n 4 ddpm sample runs/mnist --count 50000 --out samples/

      A model trained with --condition-dropout obeys its classes the more the larger --guidance is: 1 is the model itself, 2 to 5 \
      cost variety.

        ddpm sample runs/mnist --class 7 --guidance 3 --out sevens.png

      The samplers use the model's own noise schedule; docs/samplers.md has their equations, and how far few steps of each end from \
      many. --sigmas spaces the noise levels σ in place \
      of t, as diffusers' use_karras_sigmas, use_exponential_sigmas and use_beta_sigmas do. Where a rule of diffusers is off (the page \
      lists them) ours is another; --as-diffusers follows diffusers there too.

      --spacing dissipation places the steps so that each dissipates the same, as 'ddpm thermodynamics MODEL --data … --keep' \
      measured it.

      Models of points draw points: --out FILE.png or .svg shows them, --out FILE.csv is their table, and --progressive shows \
      them on their way with the score that moves them.

        ddpm train --preset plane --data moons --out runs/moons
        ddpm sample runs/moons --count 2000 --sampler ddim --out moons.png --progressive

      For exact comparison with other software, --initial-noise and --step-noise take the noise from files, and \
      --save-tensors writes 'initial_noise', 'step_noise' and 'final' (N, C, H, W in [-1, 1], before 8-bit decoding).
      """)

  @Argument(help: "A diffusers pipeline directory.")
  var model: String

  @Option(help: ArgumentHelp("Images to draw (default: 16, or as many as --initial-noise holds).", valueName: "n"))
  var count: Int?
  @Option(help: ArgumentHelp("The first image of the seed's series.", valueName: "i"))
  var first = 0
  @Option(help: ArgumentHelp("Images computed together: speed and memory, never the images.", valueName: "n"))
  var batchSize = 16
  @Option(
    help: ArgumentHelp(
      "One of these (default: \(SamplerChoice.usual.rawValue); the paper's is ddpm):\n\(SamplerChoice.listing)",
      valueName: "name"))
  var sampler: SamplerChoice?
  @Option(
    help: ArgumentHelp(
      "Steps; fewer than T skip levels (default: the sampler's: all T of ddpm, else 20 to 50).", valueName: "n"))
  var steps: Int?
  @Option(help: "\(SpacingChoice.help)")
  var spacing: SpacingChoice?
  @Option(
    help: ArgumentHelp(
      "How σ falls, in place of t: karras, exponential or beta; not for ddpm, ddim, pndm, plms and euler_ancestral (default: by t; edm: karras).",
      valueName: "name"))
  var sigmas: SigmaSpacing?
  @Option(
    help: ArgumentHelp(
      "The levels themselves, in place of --steps and --spacing, such as 1000,600,200.", valueName: "list"))
  var levels: IntegerList?
  @Flag(help: "Draw exactly as diffusers does with the model's scheduler_config.json, also where its rule is off.")
  var asDiffusers = false
  @Option(help: ArgumentHelp("ddim: noise of each step, 0 (none) to 1 (as ddpm).", valueName: "η"))
  var eta = 0.0
  @Option(help: ArgumentHelp("Seed of all noise.", valueName: "n"))
  var seed: UInt64 = 0
  @Option(help: "ddpm: \(ReverseVariance.help)")
  var variance: ReverseVariance?
  @Option(help: "Pixels of the last step: its mode, its mean, or a sample.")
  var decoder = DecoderChoice.mode
  @Option(
    name: .customLong("class"),
    help: ArgumentHelp(
      "Classes to draw in turn, names or numbers, such as 3 or A,B,C; 'none' for no class (default: all).",
      valueName: "list"))
  var classes: String?

  @OptionGroup(title: "Guidance") var guidance: GuidanceOptions

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "FILE.png, .jpg or .webp for a grid; FILE.tar or a folder for one file each; \(Output.standardHelp).",
      valueName: "path"))
  var out = "samples.png"
  @Option(help: ArgumentHelp("Each pixel of a grid becomes a square of so many.", valueName: "n"))
  var magnify = 1
  @Flag(help: "Also write OUT-progressive beside OUT: the prediction of the final image at 10 stages.")
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
  @OptionGroup(title: "Talk") var talk: TalkOptions

  func validate() throws {
    try Output.check(magnify: magnify)
    if ImageFormat(fileName: out) != nil, !isGrid {
      throw ValidationError("--out \(out): pictures are written as .png, .jpg or .webp")
    }
  }

  func run() async throws {
    let terminal = talk.terminal(output: out)
    if let animate, Animation.Format(fileName: animate) == nil {
      throw ValidationError("--animate \(animate): name a .gif, .png or .webp file")
    }
    if Launch.ranks.isShared, isGrid || isArchive || animate != nil || progressive || saveTensors != nil {
      throw ValidationError(
        "several processes draw into a folder: --out FOLDER, without --animate, --progressive and --save-tensors")
    }
    guard first >= 0 else { throw ValidationError("first is \(first); choose 0 or more") }
    for path in [isGrid || isArchive ? out : nil, animate, saveTensors].compactMap({ $0 }) { try Output.check(path) }

    // Images must not depend on what a timer said.
    let device = try backend.make(repeatable: true, profiles: profile)
    let model = try Model(URL(filePath: model), on: device)
    if case .superResolution(let scale) = model.card.pictures {
      throw ValidationError(
        "\(self.model) enlarges pictures \(scale) times: 'ddpm edit \(self.model) SMALL.png --out large.png' shows it one"
      )
    }
    if sampler == nil, method == .usual {
      terminal.print(
        "sampler     \(method.rawValue); --sampler ddpm draws as the paper does, in \(model.scheduler.T) steps")
    }
    let weaker = try guidance.weakerModel(on: device)
    var request = try request(to: model, weaker: weaker)
    if model.isOfPoints {
      try Launch.requireOne("points are drawn")
      return try await drawPoints(request, of: model, on: terminal)
    }
    var output = SampleOutput(
      grid: isGrid ? out : nil, magnification: magnify, progressive: progressive ? 10 : 0,
      frames: animate == nil ? 0 : 60,
      keepsTensors: saveTensors != nil)
    var folder: SampleFolder?
    let archive = isArchive ? try TarFile(AtomicFile(Output.url(out))) : nil
    if !isGrid, archive == nil {
      folder = try SampleFolder(
        URL(filePath: out), identity: try identity(of: request, model), ranks: Launch.ranks)
    }
    let total = request.samples.count
    // What shows all images or holds their tensors cannot be had from the files of some.
    if let folder, !output.isWhole {
      let (missing, present) = try folder.share(of: request.samples, Launch.ranks)
      request.parts = missing
      if present > 0 { terminal.print("resumed     \(present) of \(total) images are in \(out)") }
    }
    let executable = request.count == 0 ? nil : try await draw(request, model, folder, archive, &output, on: terminal)
    try archive?.finish()
    if Launch.ranks.isShared, let signal = try Launch.agreed(StopSignals.pending) {
      throw stopped(signal, folder, request)
    }
    if !isGrid { terminal.print("\(total) images in \(out)") }
    try output.write(
      progressiveTo: isGrid
        ? Output.beside(out, "-progressive") : folder == nil ? "progressive.png" : out + "/progressive.png",
      animation: animate,
      tensors: saveTensors, on: terminal)
    if profile, let executable, let profile = backend.profile(of: executable) {
      ProfileTable(profile).print(on: terminal)
    }
  }

  /// Draws, and hands each batch on.
  ///
  /// - Returns: what computed.
  private func draw(
    _ request: SamplingRequest, _ model: Model, _ folder: SampleFolder?, _ archive: TarFile?,
    _ output: inout SampleOutput,
    on terminal: Terminal
  ) async throws -> any Executable {
    let sequence = try model.sample(request)
    let memory = MemoryEstimate(
      plan: sequence.memoryPlan, host: sequence.hostMemory, results: output.byteCount(of: request, sequence))
    terminal.print(memory.line("batches and results"))
    try memory.check("draw fewer images, or into a folder without --animate, --progressive and --save-tensors")

    StopSignals.watch()
    let clock = Countdown()
    let (total, count) = (request.samples.count, request.count)
    for try await event in sequence {
      switch event {
      case .step(let step):
        output.look(at: step)
        let image = total - count + step.done * count / step.total
        let secondsLeft = clock.left(after: step.done, of: step.total)
        let left = Text.duration(secondsLeft)
        terminal.live(
          "image \(image)/\(total)  step \(step.progress.done)/\(step.progress.count)  \(left) left  "
            + Text.mebibytes(residentBytes()),
          log: "image \(image) of \(total), \(left) left",
          fields: ["images": .integer(image), "of": .integer(total), "seconds_left": .number(secondsLeft)])
      case .samples(let samples):
        try folder?.write(samples)
        if let archive {
          for (i, picture) in zip(samples.range, samples.pictures) {
            try archive.add(SampleFolder.name(i), picture.png())
          }
        }
        output.add(samples)
      }
      if let signal = StopSignals.pending {
        terminal.end()
        // Of several, all come to their end and say so together.
        if Launch.ranks.isShared { return sequence.denoiser.executable }
        throw stopped(signal, folder, request)
      }
    }
    terminal.end()
    let seconds = clock.elapsed
    terminal.tell(
      "finished",
      [
        "images": .integer(count), "sampler": .string(method.rawValue),
        "steps": .integer(sequence.plan.timesteps.count), "seconds": .number(seconds), "out": .string(out),
      ])
    terminal.print(
      "\(count) image\(count == 1 ? "" : "s"), \(method.rawValue) in \(sequence.plan.timesteps.count) steps: "
        + "\(Text.duration(seconds)), \(Text.short(Double(count) / max(seconds, 1e-9))) images/s")
    return sequence.denoiser.executable
  }

  /// Says what is kept of what a signal stopped.
  private func stopped(_ signal: Int32, _ folder: SampleFolder?, _ request: SamplingRequest) -> ExitCode {
    let total = request.samples.count
    let kept = folder.map { total - $0.missing(in: request.samples).reduce(0) { $0 + $1.count } }
    Terminal.complain(
      kept.map { "stopped; \($0) of \(total) images are in \(out): the same command goes on from there" }
        ?? "stopped; nothing was written (a folder as --out keeps what is drawn)")
    return ExitCode(128 + signal)
  }

  private func request(to model: Model, weaker: Model?) throws -> SamplingRequest {
    // A file may say and hold anything: it is read where it is for this model, and there is room for it.
    func check(_ shape: Images.Shape, byteCount: Int) throws {
      try model.check(noise: shape, of: self.count)
      try MemoryError.check("the recorded noise", needs: byteCount, "draw fewer images from a shorter recording")
    }
    let initial = try initialNoise.map { try NoiseFile.initial(URL(filePath: $0), check: check) }
    let steps = try stepNoise.map { try NoiseFile.steps(URL(filePath: $0), check: check) }
    let count = count ?? initial?.shape.count ?? steps?.first?.shape.count ?? 16
    guard (1...1 << 30).contains(count), first < 1 << 30 else { throw SamplingError.count(count) }
    var request = SamplingRequest(samples: first..<first + count)
    request.batchSize = batchSize
    request.seed = seed
    request.plan = try plan(of: model)
    request.decoder = decoder.choice
    if let classes {
      let numbers = try classes.split(separator: ",", omittingEmptySubsequences: false).map { name in
        name == "none" ? nil : try model.classNumber(String(name))
      }
      request.condition = { samples in .classes(samples.map { numbers[$0 % numbers.count] }) }
    }
    (request.initialNoise, request.stepNoise) = (initial, steps)
    request.recordsNoise = saveTensors != nil
    (request.guidance, request.weaker) = (guidance.choice, weaker)
    return request
  }

  /// The one that was named, or the one that can do what else was asked.
  var method: SamplerChoice {
    sampler ?? (variance != nil || stepNoise != nil ? .ddpm : eta > 0 ? .ddim : .usual)
  }

  private func plan(of model: Model) throws -> SamplingPlan {
    guard levels == nil || steps == nil && spacing == nil && sigmas == nil else {
      throw ValidationError("--levels says it all: leave out --steps, --spacing and --sigmas")
    }
    guard spacing != .dissipation || sigmas == nil else {
      throw ValidationError("--spacing dissipation places every level: leave out --sigmas")
    }
    let plan = try model.plan(
      method, steps: levels?.values.count ?? steps, spacing: spacing?.ofTimesteps, eta: eta, variance: variance,
      sigmas: sigmas, matchesDiffusers: asDiffusers)
    if let levels {
      guard levels.values.allSatisfy({ $0 > 0 }) else {
        throw SamplingError.levels(levels.values, T: model.scheduler.T)
      }
      return try plan.visiting(levels.values.map { Timestep($0) })
    }
    return spacing == .dissipation ? try plan.sharing(model.dissipation()) : plan
  }

  /// What decides the pictures of a folder.
  private func identity(of request: SamplingRequest, _ model: Model) throws -> [String: JSONValue] {
    // Image i is drawn from noise i − first, where it is recorded.
    func recorded(_ noise: [Images]?) -> JSONValue {
      noise.map { .string(NoiseFile.fingerprint($0) + " from \(first)") } ?? .string("drawn")
    }
    return try [
      "model": .string(model.fingerprint()), "sampler": .string(method.rawValue + (asDiffusers ? " as diffusers" : "")),
      "initial noise": recorded(request.initialNoise.map { [$0] }), "step noise": recorded(request.stepNoise),
      "steps": .integer(request.plan?.timesteps.count ?? 0),
      // Levels that a list or a measurement chose are named one by one.
      "spacing": .string(
        levels == nil && spacing != .dissipation
          ? (spacing?.rawValue ?? "model") + (sigmas.map { " " + $0.rawValue } ?? "")
          : "\(request.plan?.timesteps.map(\.number) ?? [])"),
      "eta": .number(eta), "seed": .string("\(seed)"), "variance": .string(variance?.rawValue ?? "model"),
      "decoder": .string(decoder.rawValue), "classes": .string(classes ?? "all"),
      "guidance": .string(guidance.identity(weaker: request.weaker)),
    ]
  }

  private var isGrid: Bool { Output.pictureFormat(out) != nil }
  private var isArchive: Bool { Output.isArchive(out) }
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

extension SamplerChoice: ExpressibleByArgument {}
extension SigmaSpacing: ExpressibleByArgument {}

/// How levels are placed.
enum SpacingChoice: String, CaseIterable, ExpressibleByArgument {
  case leading, linspace, trailing, dissipation

  /// nil where it is no matter of t alone.
  var ofTimesteps: TimestepSpacing? { TimestepSpacing(rawValue: rawValue) }

  static let help = """
    Which levels are visited: leading, linspace, trailing or dissipation (default: the model's scheduler's, unless that is just its \
    class's default; else leading for ddpm, ddim, pndm and plms, linspace for the others).
    """
}

extension ReverseVariance: ExpressibleByArgument {
  static let help = "fixed_small, fixed_large, learned or learned_range (default: the model's own)."
}
