import ArgumentParser
import CPUBackend
import Files
import Platform

/// `ddpm`: one file a subcommand.
struct DDPMCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ddpm",
    abstract: "Denoising diffusion probabilistic models (Ho, Jain & Abbeel 2020).",
    discussion: """
      See all of it once, in minutes:

        ddpm demo

      Train a model on the embedded characters, then draw from it:

        ddpm train --out runs/glyphs
        ddpm sample runs/glyphs --out samples.png

      'ddpm help COMMAND' explains each command with examples.
      """,
    version: Version.text,
    subcommands: [
      TrainCommand.self, SampleCommand.self, EditCommand.self, EvaluateCommand.self, ThermodynamicsCommand.self,
      InterpolateCommand.self, NeighboursCommand.self, NoiseCommand.self, ScheduleCommand.self, TraceCommand.self,
      RunCommand.self, InfoCommand.self, DevicesCommand.self, DemoCommand.self,
    ])
}

// First of all, since it starts the process anew.
WaitPolicy.restartIfUnset()
// A closed pipe ends what is printed, not the work.
signal(SIGPIPE, SIG_IGN)
do {
  try Launch.join()
  var command = try DDPMCommand.parseAsRoot()
  try Launch.check(command)
  if let command = command as? any AsyncParsableCommand { try await run(command) } else { try command.run() }
  // Success is to have said it, too.
  try StandardOutput.flush()
  if let failure = Terminal.failure { throw failure }
  Launch.end()
} catch let error where DDPMCommand.exitCode(for: error).isSuccess {
  // So is help, which ArgumentParser throws.
  if Launch.ranks.isFirst { print(DDPMCommand.fullMessage(for: error)) }
  do { try StandardOutput.flush() } catch { DDPMCommand.exit(withError: error) }
  Launch.end()
} catch let code as ExitCode {
  // All has been said, by all ranks.
  Launch.end()
  DDPMCommand.exit(withError: code)
} catch {
  Launch.abort(DDPMCommand.exitCode(for: error).rawValue, DDPMCommand.fullMessage(for: error))
  guard let flag = Advice.flag(for: error) else { DDPMCommand.exit(withError: error) }
  // ArgumentParser prints "Error: " and the description of what it is given.
  DDPMCommand.exit(withError: Advised(description: "\(error) (\(flag))"))
}

/// Runs a command that waits for samples.
private func run(_ command: some AsyncParsableCommand) async throws {
  var command = command
  try await command.run()
}

/// An error with the flag that helps.
private struct Advised: Error, CustomStringConvertible { let description: String }
