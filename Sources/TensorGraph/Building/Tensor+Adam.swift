/// One parameter with everything that Adam keeps for it.
public struct AdamState {
  public var parameter: Tensor
  /// The running mean of the gradient.
  public var m: Tensor
  /// The running mean of the squared gradient.
  public var v: Tensor
  /// The exponential moving average of the parameter.
  public var ema: Tensor

  public init(parameter: Tensor, m: Tensor, v: Tensor, ema: Tensor) {
    self.parameter = parameter
    self.m = m
    self.v = v
    self.ema = ema
  }
}

extension Adam {
  /// The state after one step along `gradient`. `schedule` (5) holds this step's numbers in the order of `Schedule`.
  public func step(_ state: AdamState, gradient: Tensor, schedule: Tensor) -> AdamState {
    let results = gradient.builder.applyAll(
      .adam(self), [state.parameter, gradient, state.m, state.v, state.ema, schedule])
    return AdamState(parameter: results[0], m: results[1], v: results[2], ema: results[3])
  }
}
