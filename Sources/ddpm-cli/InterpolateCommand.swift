import ArgumentParser
import DDPM
import Datasets
import Diffusion
import Files
import Networks
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `ddpm interpolate`: what lies between two images, or around one, in latent space.
struct InterpolateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "interpolate",
    abstract: "Interpolate between two images at several noise levels, or reconstruct one image many times.",
    discussion: """
      Two images are noised to x_t with the same noise; the latents in between are decoded by the ancestral chain, all with \
      the same noise (Ho et al. 2020, figure 8):

        ddpm interpolate runs/celeba a.png b.png --out between.png
        ddpm interpolate runs/mnist 3 17 --data mnist --at 200,400,800

      A row is one t: image A, its reconstruction, the images between, the reconstruction of B, image B. Small t blends \
      pixels, large t blends content.

      A model with classes decodes each image as its class: the label that it has in --data, or --class for all. Where A and \
      B are of different classes, the images nearer to A (λ < 1/2) are decoded as A's class and the others as B's.

      With --reconstructions N one image is noised once for each t, and that x_t is decoded N times (figure 7); what they \
      share is what x_t still knows. A row is the image, x_t, and N reconstructions:

        ddpm interpolate runs/mnist a.png --reconstructions 8 --out around.png
      """)

  @Argument(help: "A diffusers pipeline directory.")
  var model: String
  @Argument(help: "A PNG or JPEG file; with --data also the number of an image, from 0.")
  var a: String
  @Argument(help: "The other image; not with --reconstructions.")
  var b: String?

  @Option(help: ArgumentHelp("The t of the rows (default: T/8, T/4, T/2, 3T/4, T).", valueName: "list"))
  var at: IntegerList?
  @Option(help: ArgumentHelp("Images between the two.", valueName: "n"))
  var stepsBetween = 9
  @Option(help: ArgumentHelp("Reconstruct one image so many times from each x_t.", valueName: "n"))
  var reconstructions: Int?
  @Option(help: ArgumentHelp("Data from which numbered images are taken.", valueName: "path"))
  var data: String?
  @Option(help: "train or test, of the data.")
  var split = Dataset.Split.test
  @Option(
    name: .customLong("class"),
    help: ArgumentHelp(
      "Class to decode all images as, a name or a number (default: their labels in --data).", valueName: "class"))
  var label: String?
  @Option(help: ArgumentHelp("Seed of all noise.", valueName: "n"))
  var seed: UInt64 = 0
  @Option(help: ArgumentHelp("Each pixel becomes a square of so many.", valueName: "n"))
  var magnify = 2
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The picture to write: .png, .jpg or .webp; \(Output.standardHelp).", valueName: "file"))
  var out = "interpolation.png"
  @OptionGroup(title: "Computation") var backend: BackendOptions
  @OptionGroup(title: "Talk") var talk: TalkOptions

  func validate() throws {
    guard (b == nil) != (reconstructions == nil) else {
      throw ValidationError("give two images, or one image and --reconstructions N")
    }
    guard (0...1000).contains(stepsBetween) else {
      throw ValidationError("steps-between is \(stepsBetween); choose 0 to 1000")
    }
    if let reconstructions, !(1...1000).contains(reconstructions) {
      throw ValidationError("reconstructions is \(reconstructions); choose 1 to 1000")
    }
    try Output.check(magnify: magnify)
  }

  func run() throws {
    let terminal = talk.terminal(output: out)
    try Output.checkPicture(out)
    // Images must not depend on what a timer said.
    let model = try Model(URL(filePath: model), on: try backend.make(repeatable: true))
    let process = try model.process()
    let T = process.schedule.T
    let levels = at?.values ?? [T / 8, T / 4, T / 2, 3 * T / 4, T].filter { $0 > 0 }
    for t in levels where !(1...T).contains(t) { throw EvaluationError.timestep(t, T: T) }
    let chosen = try label.map { try model.classNumber($0) }

    let source = try data.map { try model.openData($0, split: split).pictures() }
    let (first, firstLabel) = try picture(a, model, source, chosen)
    let (second, secondLabel) = try b.map { try picture($0, model, source, chosen) } ?? (nil, firstLabel)
    if let second, second.shape != first.shape {
      throw EvaluationError.shape(data: "\(b ?? ""), \(second.shape)", model: "\(first.shape), like \(a)")
    }
    let λ = (0...stepsBetween + 1).map { Double($0) / Double(stepsBetween + 1) }
    let count = reconstructions ?? λ.count
    let denoiser = try model.denoiser(
      batchSize: min(count, 32), size: SampleSize(height: first.height, width: first.width))
    let labels =
      second == nil
      ? Array(repeating: firstLabel, count: count)
      : LatentPaths<NetworkDenoiser>.labels(λ, from: firstLabel, to: secondLabel)
    let condition = model.classCount == nil ? Condition.none : .classes(labels)
    let paths = LatentPaths(process, denoiser: denoiser, seed: seed)

    let total = levels.reduce(0, +)
    let clock = Countdown()
    var before = 0
    let rows = try levels.map { level in
      func observe(_ done: Int, _ count: Int) {
        let left = clock.left(after: before + done, of: total)
        terminal.live("t = \(level)  step \(before + done)/\(total)  \(Text.duration(left)) left")
      }
      defer { before += level }
      if let second {
        let between = try paths.interpolation(
          from: images(first), to: images(second), at: Timestep(level), λ: λ, given: condition, observe: observe)
        return [first] + between.pictures + [second]
      }
      let (xt, samples) = try paths.reconstructions(
        of: images(first), at: Timestep(level), count: count, given: condition, observe: observe)
      return [first] + xt.pictures + samples.pictures
    }
    terminal.end()
    try Output.write(ImageStrip(magnification: magnify).picture(ofRows: rows), to: out)
    terminal.wrote(out, ": rows t = \(levels.map(String.init).joined(separator: ", "))")
    terminal.print(
      second == nil
        ? "each row: \(a), x_t, \(count) reconstructions that share x_t"
        : "each row: \(a), λ = 0, \(stepsBetween) between, λ = 1, \(b ?? "")")
  }

  private func images(_ picture: Image8) -> Images {
    Images(shape: .init(1, picture.channels, picture.height, picture.width), scalars: picture.x0)
  }

  /// A file, or a numbered image of the data; and the class to decode it as.
  private func picture(
    _ text: String, _ model: Model, _ data: Dataset?, _ label: Int?
  ) throws -> (picture: Image8, label: Int) {
    guard let data, let index = Int(text) else {
      guard model.classCount == nil || label != nil else { throw EvaluationError.noLabel(text) }
      return (try model.picture(URL(filePath: text)), label ?? 0)
    }
    guard (0..<data.count).contains(index) else { throw EvaluationError.imageIndex(text, count: data.count) }
    if label == nil {
      guard model.classCount == nil || !data.classes.isEmpty else {
        throw EvaluationError.noLabel("image \(index) of \(data.name)")
      }
    }
    let example = try data.load(index)
    return (data.shape.image(example.pixels), try label ?? model.classNumbers(of: data)?[Int(example.label)] ?? 0)
  }
}
