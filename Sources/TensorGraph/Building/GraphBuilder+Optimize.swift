import Platform

extension Adam {
  /// What a parameter's states are called: one of these before its name. Checkpoints depend on it.
  public enum StatePrefix {
    /// The running mean of the gradient.
    public static let m = "adam.m."
    /// The running mean of the squared gradient.
    public static let v = "adam.v."
    /// The exponential moving average of the parameter.
    public static let ema = "ema."
  }

  /// What one step needs beside the gradient.
  public struct Step: Sendable, Equatable {
    /// Counted from 1.
    public var step: Int
    /// Of this step, warm-up and decay included.
    public var learningRate: Double
    /// d in ema ← d ema + (1 − d) p.
    public var emaDecay: Double

    /// - Parameter step: k, counted from 1: what the bias corrections 1 − βᵏ are of.
    public init(step: Int, learningRate: Double, emaDecay: Double) {
      self.step = step
      self.learningRate = learningRate
      self.emaDecay = emaDecay
    }
  }

  /// The inputs of a program that ``GraphBuilder/optimize(_:gradients:with:clipNorm:squaredNorm:)`` made, for one step.
  public func inputs(_ step: Step) -> [String: TensorData] {
    // 1 − β₁ᵏ and 1 − β₂ᵏ
    let k = Double(step.step)
    return [
      Self.inputName(.learningRate): TensorData(Float(step.learningRate)),
      Self.inputName(.biasCorrection1): TensorData(Float(1 - pow(beta1, k))),
      Self.inputName(.biasCorrection2): TensorData(Float(1 - pow(beta2, k))),
      Self.inputName(.emaDecay): TensorData(Float(step.emaDecay)),
    ]
  }

  fileprivate static func inputName(_ item: Schedule) -> String { "adam.\(item)" }
}

extension GraphBuilder {
  /// One step of Adam for each parameter, and of its moving average.
  ///
  /// ```
  /// g ← g min(1, c/(‖g‖ + 10⁻⁶))       as torch.nn.utils.clip_grad_norm_
  /// θ ← Adam(θ, g),  θ̄ ← d θ̄ + (1 − d) θ
  /// ```
  ///
  /// Declares the states of `Adam.StatePrefix` for each parameter, and as inputs the numbers of the step, which `Adam.inputs(_:)` gives.
  ///
  /// - Parameters:
  ///   - parameters: states of this graph, under their names.
  ///   - gradients: one for each parameter.
  ///   - clipNorm: c, the largest norm of the gradient; nil for no limit.
  ///   - squaredNorm: ‖g‖², where `gradients` are not all that it is of; nil: of these.
  /// - Returns: ‖g‖ over all parameters, before it is limited: a scalar.
  @discardableResult
  public func optimize(
    _ parameters: [(name: String, tensor: Tensor)], gradients: [Tensor], with adam: Adam, clipNorm: Double? = nil,
    squaredNorm: Tensor? = nil
  ) -> Tensor {
    precondition(
      parameters.count == gradients.count, "\(gradients.count) gradients for \(parameters.count) parameters")
    let norm = (squaredNorm ?? sumOfSquares(gradients)).squareRoot()
    let scale = clipNorm.map { c in (c / (norm + 1e-6)).minimum(constant(1)) } ?? constant(1)
    let schedule = concat(
      Adam.Schedule.allCases.map { item in
        (item == .gradientScale ? scale : input(Adam.inputName(item), .scalar)).reshaped([1])
      }, axis: 0)

    for ((name, parameter), gradient) in zip(parameters, gradients) {
      let states = [Adam.StatePrefix.m, Adam.StatePrefix.v, Adam.StatePrefix.ema].map { $0 + name }
      let (m, v, ema) = (
        state(states[0], parameter.shape), state(states[1], parameter.shape), state(states[2], parameter.shape)
      )
      let next = applyAll(.adam(adam), [parameter, gradient, m, v, ema, schedule])
      for (state, value) in zip([name] + states, next) { update(state, value) }
    }
    return norm
  }
}
