import ArgumentParser
import DDPM
import Diffusion
import Files
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `ddpm schedule`: noise schedules side by side.
struct ScheduleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schedule",
    abstract:
      "Plot noise schedules side by side: β, the share of the signal that is left, and the signal-to-noise ratio.",
    discussion: """
      How fast each rule for β destroys the data, over t = 1...T:

        ddpm schedule linear squaredcos_cap_v2 --out schedule.png
        ddpm schedule linear --timesteps 100 --rescale-betas

      The rules: \(BetaSchedule.Name.allCases.map(\.rawValue).joined(separator: ", ")).
      """)

  @Argument(help: "The rules to show.")
  var rules: [BetaSchedule.Name] = [.linear, .cosine]
  @Option(help: ArgumentHelp("The number of noise levels, T.", valueName: "n"))
  var timesteps = 1000
  @Option(help: ArgumentHelp("The first β, where a rule has one.", valueName: "β"))
  var betaStart = 1e-4
  @Option(help: ArgumentHelp("The last β, where a rule has one.", valueName: "β"))
  var betaEnd = 0.02
  @Flag(help: "Multiply β by 1000/T, so that fewer steps destroy as much.")
  var rescaleBetas = false
  @Flag(help: "Rescale the schedules so that nothing of the data is left at T.")
  var zeroTerminalSnr = false
  @Option(help: ArgumentHelp("FILE.png or FILE.svg.", valueName: "file"))
  var out = "schedule.png"

  func run() throws {
    guard (1...100_000).contains(timesteps) else {
      throw ValidationError("timesteps is \(timesteps); choose 1 to 100000")
    }
    guard PlotRow.canWrite(out) else { throw ValidationError("--out \(out): name a .png or .svg file") }
    let schedules = try rules.map { name in
      (
        name.rawValue,
        try NoiseSchedule(
          BetaSchedule(name, from: betaStart, to: betaEnd), T: timesteps, rescaled: rescaleBetas,
          zeroTerminalSNR: zeroTerminalSnr)
      )
    }
    let t = (1...timesteps).map(Double.init)
    func plot(_ title: String, _ y: String, logarithmic: Bool = false, _ value: (NoiseSchedule, Timestep) -> Double)
      -> Plot
    {
      var plot = Plot(title: title, x: "timestep t", y: y, yScale: logarithmic ? .logarithmic : .linear)
      plot.series = schedules.map { name, schedule in
        let values = schedule.timesteps.map { value(schedule, $0) }
        // A logarithm shows no zero.
        let shown = values.indices.filter { !logarithmic || values[$0] > 0 }
        return .init(name, x: shown.map { t[$0] }, y: shown.map { values[$0] })
      }
      return plot
    }
    try PlotRow([
      plot("Noise of each step", "β(t)") { $0.beta[$1] },
      plot("Signal that is left", "ᾱ(t)") { $0.alphaBar[$1] },
      plot("Signal-to-noise ratio", "ᾱ/(1 − ᾱ)", logarithmic: true) { $0.snr[$1] },
    ]).write(to: URL(filePath: out))

    print("rule                  β_1       β_T       ᾱ_T       T/2: ᾱ")
    for (name, schedule) in schedules {
      let numbers = [
        schedule.beta[1], schedule.beta[schedule.last], schedule.alphaBar[schedule.last],
        schedule.alphaBar[Timestep(max(1, timesteps / 2))],
      ]
      print(Text.flushLeft(name, 20) + numbers.map { Text.flushRight("\(Float($0))", 14) }.joined())
    }
    print("wrote \(out)")
  }
}
