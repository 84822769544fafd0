import CPUBackend
import DDPM
import Files

/// The time of an executable by operator, as a table, with what it multiplies and what it reads and writes in that time: which of the
/// processor and its memory bounds it.
struct ProfileTable {
  private let profile: Profile

  init(_ profile: Profile) { self.profile = profile }

  func print(on terminal: Terminal, rows limit: Int = 40) {
    let rows = profile.rows
    let total = rows.reduce(0) { $0 + $1.seconds }
    terminal.print("")
    terminal.print("     ms  share   calls  GFLOP/s    GB/s  operator")
    for row in rows.prefix(limit) {
      terminal.print(
        pad(Text.fixed(row.seconds * 1e3, 1), 7) + pad(Text.fixed(100 * row.seconds / max(total, 1e-12), 1) + "%", 7)
          + pad("\(row.count)", 8) + rates(row.flops, row.bytes, row.seconds) + "  \(row.label)")
    }
    if rows.count > limit { terminal.print("         \(rows.count - limit) more") }
    let (flops, bytes) = rows.reduce((0, 0)) { ($0.0 + $1.flops, $0.1 + $1.bytes) }
    terminal.print(pad(Text.fixed(total * 1e3, 1), 7) + pad("", 15) + rates(flops, bytes, total) + "  in all")
  }

  private func rates(_ flops: Double, _ bytes: Double, _ seconds: Double) -> String {
    let text = { (amount: Double) in amount > 0 ? Text.short(amount / max(seconds, 1e-12) / 1e9) : "" }
    return pad(text(flops), 9) + pad(text(bytes), 8)
  }

  private func pad(_ text: String, _ width: Int) -> String { Text.flushRight(text, width) }
}
