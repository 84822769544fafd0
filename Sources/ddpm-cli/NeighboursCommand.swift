import ArgumentParser
import DDPM
import Datasets
import Diffusers
import Files
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `ddpm neighbours`: the nearest training images of samples.
struct NeighboursCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "neighbours",
    abstract: "Show the training images nearest to samples, so that memorisation can be seen.",
    discussion: """
      SAMPLES is a model, from which images are drawn, or a picture, a grid as 'ddpm sample' writes it, or a folder of \
      pictures:

        ddpm neighbours runs/mnist --data mnist --count 8 --out neighbours.png
        ddpm neighbours digits.png --data mnist --top 6

      A row is a sample, a gap, and the images of the data nearest to it by the Euclidean distance of pixels, nearest first.
      """)

  @Argument(help: "A diffusers pipeline directory, a PNG or JPEG file, or a folder of them.")
  var samples: String

  @Option(help: ArgumentHelp("What the model was trained on.", valueName: "path"))
  var data: String
  @Option(help: "train or test.")
  var split = Dataset.Split.train
  @Option(help: ArgumentHelp("Samples, at most.", valueName: "n"))
  var count = 8
  @Option(help: ArgumentHelp("Neighbours of each.", valueName: "n"))
  var top = 6
  @Option(help: "Of a model: \(SamplerChoice.allCases.map(\.rawValue).joined(separator: ", ")).")
  var sampler = SamplerChoice.ddpm
  @Option(help: ArgumentHelp("Of a model: steps of the sampler.", valueName: "n"))
  var steps: Int?
  @Option(help: ArgumentHelp("Of a model: seed of all noise.", valueName: "n"))
  var seed: UInt64 = 0
  @Option(help: ArgumentHelp("Resize the data to squares of this side; a model brings its own.", valueName: "pixels"))
  var imageSize: Int?
  @Option(help: ArgumentHelp("Each pixel becomes a square of so many.", valueName: "n"))
  var magnify = 2
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The picture to write: .png, .jpg or .webp; \(Output.standardHelp).", valueName: "file"))
  var out = "neighbours.png"
  @OptionGroup(title: "Computation") var backend: BackendOptions
  @OptionGroup(title: "Talk") var talk: TalkOptions

  func validate() throws {
    guard (1...1000).contains(count) else { throw ValidationError("count is \(count); choose 1 to 1000") }
    guard (1...100).contains(top) else { throw ValidationError("top is \(top); choose 1 to 100") }
    try Output.check(magnify: magnify)
  }

  func run() async throws {
    let terminal = talk.terminal(output: out)
    try Output.checkPicture(out)
    let (data, pictures) = try await open(terminal)
    guard !pictures.isEmpty else { throw ValidationError("\(samples) holds no pictures") }
    let found = try Neighbours(in: data).nearest(min(top, data.count), to: pictures) { done, total in
      terminal.live("searched \(done)/\(total)")
    }
    terminal.end()

    terminal.print("data        \(data)")
    terminal.print("root mean squared difference of pixels (0-255), and the image's number:")
    let shape = data.shape
    let gap = Image8(width: shape.width, height: shape.height, channels: shape.channels, fill: 255)
    var rows: [[Image8]] = []
    for (i, neighbours) in found.enumerated() {
      let images = try neighbours.map { shape.image(try data.load($0.index).pixels) }
      rows.append([pictures[i], gap] + images)
      let list = neighbours.map { "\(Text.fixed($0.rmse, 1)) #\($0.index)" }.joined(separator: "  ")
      terminal.print("sample \(i)    \(list)")
    }
    try Output.write(ImageStrip(magnification: magnify).picture(ofRows: rows), to: out)
    terminal.wrote(out)
  }

  /// The data, and the pictures to look for in it.
  private func open(_ terminal: Terminal) async throws -> (Dataset, [Image8]) {
    let url = URL(filePath: samples)
    let files = FileManager.default
    var isFolder = false
    let exists = files.fileExists(atPath: url.path, isDirectory: &isFolder)
    guard exists, isFolder else {
      return try read([samples])
    }
    let names = try files.contentsOfDirectory(atPath: url.path).sorted()
    let isModel = names.contains { ["model_index.json", "unet", "config.json"].contains($0) }
    if !isModel {
      let pictures = names.filter(ImageFolder.isImage)
      guard !pictures.isEmpty else {
        throw ValidationError("\(samples) is neither a model (model_index.json) nor a folder of PNG or JPEG files")
      }
      return try read(pictures.map { url.appending(path: $0).path })
    }
    let model = try Model(url, on: try backend.make(repeatable: true))
    let data = try model.openData(self.data, split: split).pictures()
    var request = SamplingRequest(count: count)
    request.seed = seed
    request.plan = try model.plan(sampler, steps: steps)
    let clock = Countdown()
    var pictures: [Image8] = []
    for try await event in try model.sample(request) {
      switch event {
      case .step(let step):
        terminal.live(
          "sampling: step \(step.done)/\(step.total)  "
            + "\(Text.duration(clock.left(after: step.done, of: step.total))) left")
      case .samples(let samples): pictures += samples.pictures
      }
    }
    terminal.end()
    return (data, pictures)
  }

  private func read(_ paths: [String]) throws -> (Dataset, [Image8]) {
    let data = try Dataset.open(self.data, split: split, imageSize: imageSize).pictures()
    return (data, try SamplePictures.read(paths, shape: data.shape, count: count))
  }
}
