import ArgumentParser
import DDPM
import Diffusers
import Diffusion
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `ddpm noise`: the forward process on a picture.
struct NoiseCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "noise",
    abstract: "Show the forward process on a picture, as a strip of x_t.",
    discussion: """
      Every x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε has the same ε, so that the strip shows one path from the picture to noise:

        ddpm noise cat.jpg --out cat-noise.png
        ddpm noise cat.jpg --at 0,50,100,200,400,800 --beta-schedule squaredcos_cap_v2
      """)

  @Argument(help: "A picture: PNG, JPEG, WebP, GIF or BMP.")
  var image: String

  @Option(
    help: ArgumentHelp(
      "The t to show, 0 (the picture) to T (default: nine, at which √ᾱ_t falls evenly).", valueName: "list"))
  var at: IntegerList?
  @Option(help: ArgumentHelp("The number of noise levels, T.", valueName: "n"))
  var timesteps = 1000
  @Option(help: ArgumentHelp("linear, scaled_linear, squaredcos_cap_v2, sigmoid, laplace, …", valueName: "name"))
  var betaSchedule = BetaSchedule.Name.linear
  @Option(help: ArgumentHelp("Resize and centre-crop to a square of this side first.", valueName: "pixels"))
  var imageSize: Int?
  @Option(help: ArgumentHelp("Seed of ε.", valueName: "n"))
  var seed: UInt64 = 0
  @Option(help: ArgumentHelp("Each pixel becomes a square of so many.", valueName: "n"))
  var magnify = 1
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The picture to write: .png, .jpg or .webp; \(Output.standardHelp).", valueName: "file"))
  var out = "noise.png"
  @OptionGroup(title: "Talk") var talk: TalkOptions

  func run() throws {
    guard (1...100_000).contains(timesteps) else {
      throw ValidationError("timesteps is \(timesteps); choose 1 to 100000")
    }
    if let imageSize, !(1...8192).contains(imageSize) {
      throw ValidationError("image-size is \(imageSize); choose 1 to 8192")
    }
    try Output.check(magnify: magnify)
    try Output.checkPicture(out)
    let terminal = talk.terminal(output: out)
    var scheduler = SchedulerConfig(.ddpm)
    scheduler.T = timesteps
    scheduler.betaSchedule = betaSchedule
    let schedule = try scheduler.schedule()
    let shown = at?.values ?? schedule.timestepsAtEvenSignal(9)

    var picture = try Image8(contentsOf: URL(filePath: image))
    if let imageSize { picture = picture.centreSquare(side: imageSize) }
    guard picture.bytes.count * shown.count * magnify * magnify <= 1 << 28 else {
      throw ValidationError(
        "\(shown.count) pictures of \(picture.width)×\(picture.height) make a huge strip: add --image-size 256")
    }
    let strip = try NoiseStrip(schedule, seed: seed)(picture, timesteps: shown)
    try Output.write(ImageStrip(magnification: magnify).picture(of: strip), to: out)
    terminal.wrote(out, ": t = \(shown.map(String.init).joined(separator: ", "))")
  }
}

extension BetaSchedule.Name: ExpressibleByArgument {
  public init?(argument: String) { self.init(alias: argument) }
}
