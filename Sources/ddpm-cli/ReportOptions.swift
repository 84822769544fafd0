import ArgumentParser
import Pictures

/// Where a measurement is written.
struct ReportOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Write all numbers to this file.", valueName: "file"))
  var json: String?
  @Option(help: ArgumentHelp("Draw the curves: FILE.png or FILE.svg.", valueName: "file"))
  var plot: String?

  /// That the plot's name says a format; before anything is computed.
  func check() throws {
    if let plot, !PlotRow.canWrite(plot) { throw ValidationError("--plot \(plot): name a .png or .svg file") }
  }
}
