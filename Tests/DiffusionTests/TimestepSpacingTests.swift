import Diffusion
import TestSupport
import Testing

@Suite struct TimestepSpacingTests {
  struct Row: Decodable {
    let T: Int
    let spacing: String
    let counting: String
    let offset: Int
    /// [n, count, Σ t, Σ (i + 1) t_i, min, max, distinct], t from 0.
    let lists: [[Int]]
    let thirteen: [Int]
  }

  @Test func listsMatchDiffusers() throws {
    let rows: [Row] = try golden("timesteps.json")
    var compared = 0
    for row in rows {
      let spacing = try #require(TimestepSpacing(rawValue: row.spacing))
      let counting: TimestepSpacing.Counting = row.counting == "levels" ? .levels : .intervals
      let list = { (n: Int) throws -> [Int] in
        try spacing.timesteps(n, of: row.T, counting: counting, offset: row.offset, asDiffusers: true).map(\.zeroBased)
      }
      #expect(try list(13) == row.thirteen)
      for expected in row.lists {
        let (n, count, least, most, distinct) = (expected[0], expected[1], expected[4], expected[5], expected[6])
        // A level beyond the end, or the same level twice, is an error here.
        guard most < row.T && distinct == count else {
          #expect(throws: SpacingError.self, "\(row.spacing) \(row.counting) \(n) of \(row.T)") { try list(n) }
          continue
        }
        // numpy's arange can overshoot by one and give diffusers a level −1 for the data itself; here it is left out.
        let extra = least < 0 ? 1 : 0
        let t = try list(n)
        let weighted = t.enumerated().reduce(0) { $0 + ($1.offset + 1) * $1.element }
        #expect(
          [n, t.count + extra, t.reduce(0, +) - extra, weighted - extra * count] == Array(expected[..<4]),
          "\(row.spacing) \(row.counting) \(n) of \(row.T)")
        compared += 1
      }
    }
    #expect(compared > 1500)
  }

  /// One level is the noisiest, however levels are spaced; diffusers' is the cleanest where it counts from there.
  @Test(arguments: TimestepSpacing.allCases) func oneLevelIsNoise(_ spacing: TimestepSpacing) throws {
    #expect(try spacing.timesteps(1, of: 40, offset: 1) == [40])
    #expect(try spacing.timesteps(1, of: 40, asDiffusers: true) == [spacing == .trailing ? 40 : 1])
  }

  @Test func impossibleCountsAreRefused() {
    #expect(throws: SpacingError.count(0, T: 10)) { try TimestepSpacing.leading.timesteps(0, of: 10) }
    #expect(throws: SpacingError.count(11, T: 10)) { try TimestepSpacing.leading.timesteps(11, of: 10) }
    #expect(throws: SpacingError.beyondEnd(11, T: 10, offset: 1)) {
      try TimestepSpacing.leading.timesteps(10, of: 10, offset: 1)
    }
  }
}
