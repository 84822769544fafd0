import ArgumentParser
import DDPM
import Diffusion
import Files
import Pictures
import Platform

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `ddpm trace`: one sample's way from noise to data, with every quantity of the derivation.
struct TraceCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "trace",
    abstract: "Print and draw one sample's way from noise to data: what each quantity of a reverse step is.",
    discussion: """
      The paper's sampler, step by step (Ho et al. 2020, algorithm 2). A row of the picture is one step: x_t; what the network \
      takes for the image, x̂_0 (eq. 15); the mean μ of p(x_{t-1} | x_t), which is μ̃(x_t, x̂_0) (eqs. 7 and 11); the fresh noise \
      z, a draw, not the noise that was predicted; and x_{t-1} = μ + σ z. The last step draws no z.

        ddpm trace runs/glyphs --out trace.png
        ddpm trace runs/glyphs --class A --rows 12 --seed 3
      """)

  @Argument(help: "A diffusers pipeline directory.")
  var model: String
  @Option(help: ArgumentHelp("Steps to show, at equal distances.", valueName: "n"))
  var rows = 9
  @Option(help: ArgumentHelp("Steps of the chain (default: all T).", valueName: "n"))
  var steps: Int?
  @Option(name: .customLong("class"), help: ArgumentHelp("Class to draw, a name or a number.", valueName: "class"))
  var label: String?
  @Option(help: ArgumentHelp("Seed of all noise.", valueName: "n"))
  var seed: UInt64 = 0
  @Option(help: ArgumentHelp("Each pixel becomes a square of so many.", valueName: "n"))
  var magnify = 2
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The picture to write: .png, .jpg or .webp; \(Output.standardHelp).", valueName: "file"))
  var out = "trace.png"
  @OptionGroup(title: "Computation") var backend: BackendOptions
  @OptionGroup(title: "Talk") var talk: TalkOptions

  func validate() throws {
    guard (1...1000).contains(rows) else { throw ValidationError("rows is \(rows); choose 1 to 1000") }
    try Output.check(magnify: magnify)
  }

  func run() async throws {
    let terminal = talk.terminal(output: out)
    try Output.checkPicture(out)
    let model = try Model(URL(filePath: model), on: try backend.make(repeatable: true))
    var request = SamplingRequest(count: 1)
    request.seed = seed
    request.plan = try model.plan(.ddpm, steps: steps)
    if let label {
      let number = try model.classNumber(label)
      request.condition = { .classes($0.map { _ in number }) }
    }
    let sequence = try model.sample(request)
    let process = sequence.plan.process
    let count = sequence.plan.timesteps.count

    // x_T is what the seed's noise is; then each step ends where the next begins.
    var xt = CounterNoise(seed: seed).initialNoise(
      shape: .init(1, model.architecture.channels, sequence.denoiser.size.height, sequence.denoiser.size.width))
    var pictures: [[Image8]] = []
    terminal.print("     t    ᾱ_t       |x_t|   |x̂_0|   |μ|     σ         |z|     |x_{t−1}|   root mean squares")
    for try await event in sequence {
      guard case .step(let step) = event else { continue }
      let progress = step.progress
      let (t, s) = (progress.transition.from, progress.transition.to)
      // μ = μ̃(x_t, x̂_0)
      let μ = process.schedule.posterior(t, to: s).mean(x0: progress.x0, xt: xt)
      // z = (x_{t−1} − μ)/σ; the last step adds nothing. A learned σ differs from pixel to pixel: then its root mean square.
      let moved = progress.x - μ
      let σ =
        s == .data ? 0 : process.variance.isLearned ? rms(moved) : exp(process.fixedLogVariance(at: t, to: s) / 2)
      let z = σ > 0 ? moved / σ : moved
      if shows(progress.done, of: count) {
        terminal.print(
          Text.flushRight("\(t)", 6) + "    " + Text.fixed(process.schedule.alphaBar[t], 6) + "  "
            + [rms(xt), rms(progress.x0), rms(μ)].map { Text.fixed($0, 3) }.joined(separator: "   ") + "   "
            + Text.fixed(σ, 6) + "  " + Text.fixed(rms(z), 3) + "   " + Text.fixed(rms(progress.x), 3))
        pictures.append([xt, progress.x0, μ, z, progress.x].flatMap(\.pictures))
      }
      xt = progress.x
    }
    try Output.write(ImageStrip(magnification: magnify).picture(ofRows: pictures), to: out)
    terminal.wrote(
      out,
      ": columns x_t, x̂_0 (eq. 15), μ = μ̃(x_t, x̂_0) (eqs. 7, 11), z ~ N(0, I), x_{t−1} = μ + σ z (algorithm 2)"
    )
  }

  private func shows(_ done: Int, of count: Int) -> Bool {
    done == 1 || done * min(rows, count) / count > (done - 1) * min(rows, count) / count
  }

  private func rms(_ images: Images) -> Double {
    (images.scalars.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(images.scalars.count)).squareRoot()
  }
}
