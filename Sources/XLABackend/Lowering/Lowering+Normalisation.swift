import TensorGraph

/// Group normalisation in 32 bits. Sums go over positions first and over a group's channels then, so that no image is reshaped and
/// the compiler may keep it in any order.
extension Lowering {
  /// x̂ = (x + shift − mean) · rstd, y = act(γ x̂ + β), of each group.
  func groupNorm(
    _ norm: GroupNorm, _ x: HLOValue, γ: HLOValue, β: HLOValue, shift: HLOValue?
  ) -> [HLOValue] {
    let v = shifted(x, shift)
    let size = Double(v.type.count / (v.shape[0] * norm.groups))
    let mean = groupSum(v, norm) * (1 / size)
    // Σ (v − mean)² in a second pass: Σ v² − mean² would lose its digits.
    let centred = v - spread(mean, v.shape)
    let variance = groupSum(centred * centred, norm) * (1 / size)
    let rstd = (variance + norm.epsilon).apply("rsqrt")
    let xHat = centred * spread(rstd, v.shape)
    let z = channels(γ, v.shape) * xHat + channels(β, v.shape)
    let y = norm.silu ? z * z.sigmoid() : z
    return [x.type.rank == 4 ? narrow(y) : y, mean, rstd]
  }

  /// dx = rstd (γ dz − mean(γ dz) − x̂ mean(γ dz x̂)), dγ = Σ dz x̂, dβ = Σ dz, dshift = Σ dx over positions.
  func groupNormGradient(
    _ norm: GroupNorm, dy: HLOValue, _ x: HLOValue, γ: HLOValue, β: HLOValue, mean: HLOValue, rstd: HLOValue,
    shift: HLOValue?
  ) -> [HLOValue] {
    let v = shifted(x, shift)
    let shape = v.shape
    let size = Double(v.type.count / (shape[0] * norm.groups))
    let (γs, rstds) = (channels(γ, shape), spread(rstd, shape))
    let xHat = (v - spread(mean, shape)) * rstds
    var dz = wide(dy)
    if norm.silu {
      // (z σ)′ = σ (1 + z (1 − σ))
      let z = γs * xHat + channels(β, shape)
      let σ = z.sigmoid()
      dz = dz * (σ * (1 + z * (1 - σ)))
    }
    // Over positions once: dβ, dγ and both means come of these (N, C) sums.
    let positions = Array(2..<v.type.rank)
    let sum = dz.sum(positions)
    let product = (dz * xHat).sum(positions)
    let γRows = wide(γ).broadcast(sum.shape, axes: [1])
    let meanSum = groupSum(γRows * sum, norm) * (1 / size)
    let meanProduct = groupSum(γRows * product, norm) * (1 / size)
    let dx = rstds * (γs * dz - spread(meanSum, shape) - xHat * spread(meanProduct, shape))
    let dshift = shift == nil ? [] : [dx.sum(positions)]
    return [dx.converted(to: x.element), product.sum([0]), sum.sum([0])] + dshift
  }

  /// x (N, C, …) + shift (N, C)
  private func shifted(_ x: HLOValue, _ shift: HLOValue?) -> HLOValue {
    shift.map { wide(x) + wide($0).broadcast(x.shape, axes: [0, 1]) } ?? wide(x)
  }

  /// (C) → x's shape.
  private func channels(_ x: HLOValue, _ shape: [Int]) -> HLOValue { wide(x).broadcast(shape, axes: [1]) }

  /// The sum over each group's channels and positions: (N, C, …) → (N, G).
  private func groupSum(_ x: HLOValue, _ norm: GroupNorm) -> HLOValue {
    x.sum(Array(2..<x.type.rank)).reshaped([x.shape[0], norm.groups, x.shape[1] / norm.groups]).sum([2])
  }

  /// (N, G) → x's shape.
  private func spread(_ s: HLOValue, _ shape: [Int]) -> HLOValue {
    let (n, groups) = (s.shape[0], s.shape[1])
    return s.broadcast([n, groups, shape[1] / groups], axes: [0, 1]).reshaped([n, shape[1]])
      .broadcast(shape, axes: [0, 1])
  }
}
