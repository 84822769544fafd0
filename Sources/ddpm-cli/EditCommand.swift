import ArgumentParser
import DDPM
import Diffusion
import Files
import Networks
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `ddpm edit`: a picture in, pictures out that have something of it.
struct EditCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "edit",
    abstract: "Vary, paint into, enlarge, sharpen or colour a picture, or show it as another class.",
    discussion: """
      No training for it: the model knows what pictures look like, and PICTURE says which. Name one task:

        ddpm edit runs/mnist three.png --strength 0.5 --count 8          noised halfway and drawn anew (SDEdit)
        ddpm edit runs/mnist three.png --mask hole.png --jumps 10,10     what is white in the mask is painted anew
        ddpm edit runs/faces small.png --super-resolution 4              enlarged
        ddpm edit runs/faces blurred.png --deblur 1.5                    sharpened
        ddpm edit runs/faces grey.png --colourise                        coloured
        ddpm edit runs/mnist three.png --class 3 --to-class 8            DDIM backwards as a 3, forwards as an 8

      Enlarging, sharpening and colouring look for pictures x with y = A x + n, where y is PICTURE and A makes it small, blurred or \
      grey; how far A x is from y in the end is printed. With --simulate PICTURE is the original: A is applied to it first, \
      and the result is compared with it, in decibels. With --mask, PICTURE has what the mask hides.

      A mask hides what is white or transparent and keeps what is black, to the last bit. --jumps R,J repeats each J steps R times, which costs R \
      times as much and makes the borders fit (RePaint).

      A model that was trained with --super-resolution-scale takes the small picture and no task.

      --out is a grid: the picture as given (for --super-resolution also enlarged bicubically), the results, and with --simulate \
      the original. --save writes each result to a file of its own.
      """)

  @Argument(help: "A diffusers pipeline directory.")
  var model: String
  @Argument(help: "A picture of the size that the model draws; --fit crops and resizes others.")
  var picture: String

  @Option(help: ArgumentHelp("How much is forgotten: above 0, to 1.", valueName: "s"))
  var strength: Double?
  @Option(
    help: ArgumentHelp("A picture that is white where PICTURE is to be painted, black elsewhere.", valueName: "file"))
  var mask: String?
  @Option(help: ArgumentHelp("With --mask: walk each J steps R times, such as 10,10.", valueName: "R,J"))
  var jumps: IntegerList?
  @Option(help: ArgumentHelp("PICTURE is so many times smaller than what is wanted.", valueName: "k"))
  var superResolution: Int?
  @Option(help: ArgumentHelp("PICTURE was blurred by a Gaussian of so many pixels.", valueName: "σ"))
  var deblur: Double?
  @Flag(help: "PICTURE is grey; one with colours is made so.")
  var colourise = false
  @Option(help: ArgumentHelp("Show PICTURE as this class, a name or a number.", valueName: "class"))
  var toClass: String?

  @Option(
    name: .customLong("class"),
    help: ArgumentHelp(
      "The class of PICTURE and of what is drawn, a name or a number (default: none, where the model knows that).",
      valueName: "class"))
  var label: String?
  @Option(help: ArgumentHelp("Results of the same picture.", valueName: "n"))
  var count = 4
  @Option(help: ArgumentHelp("Steps from noise to data.", valueName: "n"))
  var steps = 100
  @Option(
    help: ArgumentHelp(
      "Noise of each step, 0 (none) to 1 (default: 1 with --mask, 0.85 for what is measured, else 0).", valueName: "η"))
  var eta: Double?
  @Option(
    help: ArgumentHelp(
      "Of what is measured: the noise of PICTURE on the scale of 0 to 255 (default: 0; with --deblur 0.29, of rounding).",
      valueName: "n"))
  var noise: Double?
  @Flag(help: "PICTURE is the original, which is made small, blurred or grey first.")
  var simulate = false
  @Flag(help: "Crop PICTURE to its middle square and resize it to what fits.")
  var fit = false
  @Option(help: ArgumentHelp("Seed of all noise.", valueName: "n"))
  var seed: UInt64 = 0
  @Option(help: ArgumentHelp("Images computed together: speed and memory, never the images.", valueName: "n"))
  var batchSize = 16
  @OptionGroup(title: "Guidance") var guidance: GuidanceOptions

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The picture of before and after to write: .png, .jpg or .webp; \(Output.standardHelp).", valueName: "file"))
  var out = "edit.png"
  @Option(help: ArgumentHelp("A folder for the results, one PNG each.", valueName: "folder"))
  var save: String?
  @Option(help: ArgumentHelp("Each pixel of the grid becomes a square of so many.", valueName: "n"))
  var magnify = 2
  @OptionGroup(title: "Computation") var backend: BackendOptions
  @OptionGroup(title: "Talk") var talk: TalkOptions

  func validate() throws {
    guard (1...1024).contains(count) else { throw ValidationError("count is \(count); choose 1 to 1024") }
    try Output.check(magnify: magnify)
    if let eta, !(0...1).contains(eta) { throw ValidationError("eta is \(eta); choose 0 to 1") }
    if let noise, !(noise >= 0 && noise < 256) { throw ValidationError("noise is \(noise); choose 0 to 255") }
    if let deblur, !(deblur > 0 && deblur <= 64) { throw ValidationError("deblur is \(deblur); choose above 0, to 64") }
    if let superResolution, !(2...64).contains(superResolution) {
      throw ValidationError("super-resolution is \(superResolution); choose 2 to 64")
    }
    guard tasks <= 1 else {
      throw ValidationError("name one of --strength, --mask, --super-resolution, --deblur, --colourise and --to-class")
    }
    guard !simulate || strength == nil && toClass == nil else {
      throw ValidationError("simulate is for tasks that have an original to come near to")
    }
    if let jumps {
      guard mask != nil else { throw ValidationError("jumps belong to --mask") }
      guard jumps.values.count == 2, jumps.values.allSatisfy({ (1...1000).contains($0) }) else {
        throw ValidationError("jumps are two numbers, such as 10,10: how often, and how many steps")
      }
    }
  }

  private var tasks: Int {
    [strength != nil, mask != nil, superResolution != nil, deblur != nil, colourise, toClass != nil].count { $0 }
  }

  func run() throws {
    let terminal = talk.terminal(output: out)
    try Output.checkPicture(out)
    if let save {
      let folder = try CreatedDirectory(URL(filePath: save))
      AtomicFile.removeLeftovers(in: folder.url)
    }
    guard (1...SamplingError.largestBatch).contains(batchSize) else { throw SamplingError.batchSize(batchSize) }
    if let strength, !(strength > 0 && strength <= 1) { throw EditError.strength(strength) }

    // Images must not depend on what a timer said.
    let device = try backend.make(repeatable: true)
    let model = try Model(URL(filePath: model), on: device)
    if case .superResolution(let scale) = model.card.pictures {
      guard tasks == 0 else { throw EditError.enlarges(scale: scale) }
    } else if tasks == 0 {
      throw ValidationError("name a task: --strength, --mask, --super-resolution, --deblur, --colourise or --to-class")
    }
    let task = try Task(self, model)
    let network = try model.guidedNetwork(
      batchSize: min(batchSize, task.count), size: SampleSize(height: task.shape.height, width: task.shape.width),
      by: guidance.choice, weaker: try guidance.weakerModel(on: device))
    let memory = MemoryEstimate(
      plan: network.memoryPlan, host: network.hostMemory, results: resultByteCount(task))
    terminal.print(memory.line("batches and results"))
    try memory.check("ask for fewer images (--count)")
    let process = task.process
    guard (1...process.schedule.T).contains(steps) else { throw EditError.steps(steps, T: process.schedule.T) }
    let editing = try Editing(
      process, denoiser: network.denoiser(process.schedule), steps: steps, eta: eta ?? task.eta, seed: seed)

    let clock = Countdown()
    let results = try task.run(editing, unguided: network.network) { done, total in
      let line = "step \(done)/\(total)  \(Text.duration(clock.left(after: done, of: total))) left"
      terminal.live(line, log: line)
    }
    terminal.end()
    let pictures = results.pictures
    terminal.print(
      "\(pictures.count) image\(pictures.count == 1 ? "" : "s") in \(steps) steps: \(Text.duration(clock.elapsed))")
    report(task, pictures, on: terminal)
    try write(task, pictures, on: terminal)
  }

  /// All results are walked together: x_t, x̂_0, the prediction and what a step remembers of each, and in the end the pictures
  /// and the grid.
  private func resultByteCount(_ task: Task) -> Int {
    let image = task.shape.dimension
    return task.count * image * (12 * MemoryLayout<Float>.stride + 1) + (task.count + 3) * image * magnify * magnify
  }

  /// What the results have of the measurement, and of the original.
  private func report(_ task: Task, _ pictures: [Image8], on terminal: Terminal) {
    func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
    if let measurement = task.measurement {
      let residuals = pictures.map { measurement.residuals(of: Images($0))[0] }
      terminal.print(
        "residual    \(Text.fixed(mean(residuals), 2)) of 255: the root mean square of y - A x, of the pictures as written"
      )
    }
    guard let original = task.original else { return }
    let own = pictures.map { $0.psnr(to: original) }
    let all = [("PSNR", mean(own))] + (task.baseline.map { [("bicubic", $0.psnr(to: original))] } ?? [])
    for (name, value) in all { terminal.print(Text.flushLeft(name, 12) + "\(Text.fixed(value, 2)) dB") }
  }

  private func write(_ task: Task, _ pictures: [Image8], on terminal: Terminal) throws {
    let before = [task.before] + [task.baseline].compactMap(\.self)
    let row = before + pictures + [task.original].compactMap(\.self)
    var grid = ImageGrid(magnification: magnify)
    // A row where it is no longer than a page is wide.
    if row.count <= 12 { grid.columns = row.count }
    try Output.write(grid.picture(of: row), to: out)
    terminal.wrote(
      out,
      ": the picture as given\(before.count > 1 ? ", bicubic" : ""), \(pictures.count) edited"
        + (task.original == nil ? "" : ", the original"))
    if let save {
      for (n, picture) in pictures.enumerated() {
        try picture.writePNG(to: URL(filePath: save).appending(path: Text.zeroPadded(n, 5) + ".png"))
      }
      terminal.print("wrote \(pictures.count) files in \(save)")
    }
  }
}
