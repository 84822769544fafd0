import CPUBackend
import DDPM
import Files

/// The time of an executable by operator, as a table.
struct ProfileTable {
  private let profile: Profile

  init(_ profile: Profile) { self.profile = profile }

  func print(on terminal: Terminal, rows limit: Int = 40) {
    let rows = profile.rows
    let total = rows.reduce(0) { $0 + $1.seconds }
    terminal.print("")
    terminal.print("     ms  share   calls  GFLOP/s  operator")
    for row in rows.prefix(limit) {
      let rate = row.flops > 0 ? Text.short(row.flops / row.seconds / 1e9) : ""
      terminal.print(
        pad(Text.fixed(row.seconds * 1e3, 1), 7) + pad(Text.fixed(100 * row.seconds / max(total, 1e-12), 1) + "%", 7)
          + pad("\(row.count)", 8) + pad(rate, 9) + "  \(row.label)")
    }
    if rows.count > limit { terminal.print("         \(rows.count - limit) more") }
    terminal.print(pad(Text.fixed(total * 1e3, 1), 7) + "  in all")
  }

  private func pad(_ text: String, _ width: Int) -> String { Text.flushRight(text, width) }
}
