extension GroupNorm {
  /// x (N, C, …) + shift (N, C), as (N, G, elements of a group).
  private func grouped(_ x: Tensor, _ shift: Tensor?) -> Tensor {
    let shifted = shift.map { x + $0.reshaped(Shape($0.shape.dimensions + ones(x))) } ?? x
    return inGroups(shifted)
  }

  private func inGroups(_ x: Tensor) -> Tensor {
    x.reshaped([x.shape[0], groups, x.shape.count / x.shape[0] / groups])
  }

  /// (N, G) → (N, G, 1).
  private func column(_ statistic: Tensor) -> Tensor { statistic.reshaped([statistic.shape[0], groups, 1]) }

  /// (C) → (1, C, 1, …).
  private func channels(_ parameter: Tensor, _ x: Tensor) -> Tensor {
    parameter.reshaped(Shape([1, parameter.shape[0]] + ones(x)))
  }

  private func ones(_ x: Tensor) -> [Int] { [Int](repeating: 1, count: x.shape.rank - 2) }

  /// x, γ, β, optional shift → y = act(γ x̂ + β), mean, rstd; x̂ = (x + shift − mean) rstd.
  func forward(_ operands: [Tensor]) -> [Tensor] {
    let x = operands[0]
    let all = grouped(x, operands.dropFirst(3).first)
    let mean = all.mean([2], keepDimensions: true)
    let centred = all - mean
    let rstd = (centred.squared().mean([2], keepDimensions: true) + epsilon).unary(.reciprocalSquareRoot)
    let z = (centred * rstd).reshaped(x.shape) * channels(operands[1], x) + channels(operands[2], x)
    let statistics: Shape = [x.shape[0], groups]
    return [silu ? z.silu() : z, mean.reshaped(statistics), rstd.reshaped(statistics)]
  }

  /// dy, x, γ, β, mean, rstd, optional shift → dx, dγ, dβ, and dshift where there is a shift. With z = γ x̂ + β, dz = dy act′(z) and
  /// dx̂ = γ dz:
  ///
  ///     dγ = Σ dz x̂     dβ = Σ dz     dx = rstd (dx̂ − mean(dx̂) − x̂ mean(dx̂ x̂))     dshift = Σ dx over positions
  func gradient(_ operands: [Tensor]) -> [Tensor] {
    let (dy, x, shift) = (operands[0], operands[1], operands.dropFirst(6).first)
    let (γ, β) = (channels(operands[2], x), channels(operands[3], x))
    let (mean, rstd) = (column(operands[4]), column(operands[5]))
    let x̂ = (grouped(x, shift) - mean) * rstd
    let image = x̂.reshaped(x.shape)
    let dz = silu ? dy * (γ * image + β).siluDerivative() : dy
    let dx̂ = inGroups(γ * dz)
    let dx =
      (rstd
      * (dx̂ - dx̂.mean([2], keepDimensions: true) - x̂ * (dx̂ * x̂).mean([2], keepDimensions: true))).reshaped(x.shape)
    let positions = Array(2..<x.shape.rank)
    return [dx, (dz * image).sum([0] + positions), dz.sum([0] + positions)] + (shift == nil ? [] : [dx.sum(positions)])
  }
}
