import ArgumentParser
import CPUBackend
import Files
import XLABackend

/// `ddpm devices`: what can compute here.
struct DevicesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devices",
    abstract: "List what can compute on this machine.",
    discussion: """
      The cpu is always there. GPUs and TPUs are reached through a plugin of XLA, a shared library that Python's packages bring; Python \
      itself is not needed:

        pip install jax[cuda13]
        ddpm devices
        ddpm train --device cuda --precision bfloat16 --out runs/glyphs
      """)

  func run() {
    let terminal = Terminal()
    terminal.print("cpu        \(CPUBackend().name)")
    for found in XLABackend.devices() where found.device != "xla-cpu" || found.plugin != nil {
      let name = Text.flushLeft(found.device, 11)
      guard let plugin = found.plugin else {
        terminal.print("\(name)no plugin; install one: \(found.install)")
        terminal.print("\(String(repeating: " ", count: 11))looked at \(found.searched.joined(separator: ", "))")
        continue
      }
      if let problem = found.problem {
        terminal.print("\(name)cannot be used: \(problem)")
      } else {
        for (index, device) in found.devices.enumerated() {
          terminal.print("\(index == 0 ? name : String(repeating: " ", count: 11))\(index): \(device)")
        }
      }
      terminal.print("\(String(repeating: " ", count: 11))\(plugin)\(found.version.map { ", \($0)" } ?? "")")
    }
  }
}
