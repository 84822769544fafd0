import DDPM
import Diffusion
import Testing

@Suite struct TimestepDrawTests {
  @Test func uniformDrawsCoverAllTimestepsEvenly() {
    let draw = TimestepDraw(T: 10, seed: 3, sampling: .uniform)
    let (t, weights) = draw.draw(step: 1, first: 0, count: 20_000)
    #expect(weights.allSatisfy { $0 == 1 })
    for step in 1...10 {
      // Binomial(20000, 0.1) has standard deviation 42.
      #expect(abs(t.count { $0.number == step } - 2000) < 250)
    }
  }

  @Test func aDrawDependsOnItsPlaceAlone() {
    let draw = TimestepDraw(T: 1000, seed: 3, sampling: .uniform)
    let whole = draw.draw(step: 5, first: 100, count: 8).t
    #expect(draw.draw(step: 5, first: 104, count: 4).t == Array(whole[4...]))
    #expect(draw.draw(step: 6, first: 100, count: 8).t != whole)
  }

  /// p_t ∝ √E[L²] once every t has its ten losses, and Σ w_t p_t L_t is the plain mean.
  @Test func importanceFollowsTheLosses() {
    var draw = TimestepDraw(T: 4, seed: 1, sampling: .importance)
    #expect(draw.draw(step: 1, first: 0, count: 16).weights.allSatisfy { $0 == 1 })
    let losses: [Float] = [1, 2, 3, 4]
    for _ in 0..<LossHistory.depth { draw.record(losses, at: [1, 2, 3, 4]) }
    let (t, weights) = draw.draw(step: 1, first: 0, count: 40_000)
    for step in 1...4 {
      let p = 0.999 * Double(step) / 10 + 0.001 / 4
      #expect(abs(Double(t.count { $0.number == step }) / 40_000 - p) < 0.01)
    }
    let mean = zip(t, weights).reduce(0.0) { $0 + Double($1.1 * losses[$1.0.zeroBased]) } / 40_000
    #expect(abs(mean - 2.5) < 0.01)
  }
}
