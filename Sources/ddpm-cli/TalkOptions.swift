import ArgumentParser
import Files

/// How a command tells what it does: options of every command that takes its time.
struct TalkOptions: ParsableArguments {
  enum Format: String, CaseIterable, ExpressibleByArgument { case text, json }

  @Flag(help: "Say nothing but warnings and errors.")
  var quiet = false
  @Option(help: "How progress and results are told: text, or json, one object a line for programs.")
  var format = Format.text

  /// Where to say it: results on standard output leave standard error to the talk.
  func terminal(output: String? = nil) -> Terminal {
    Terminal(
      descriptor: output.map(Output.isStandard) == true ? 2 : 1, isQuiet: quiet || !Launch.ranks.isFirst,
      talksJSON: format == .json)
  }
}
