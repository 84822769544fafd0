import TensorGraph

/// A residual multilayer perceptron that looks at x_t and t.
///
///     h = linear_in(x)
///     h = h + linear_2(silu(linear_1(silu(h)) + time projection))        for each layer
///     y = linear_out(silu(h))
struct PointMLP: Network {
  let parameters: [(parameter: Parameter, tensor: Tensor)]
  private let linearIn: Linear
  private let features: TimestepFeatures
  private let timeEmbedding: TimestepEmbedding
  private let classEmbedding: ClassEmbedding?
  private let layers: [(linear1: Linear, time: Linear, linear2: Linear)]
  private let linearOut: Linear

  init(_ config: PointMLPConfig, _ scope: ParameterScope) {
    let width = config.width
    linearIn = Linear(scope["linear_in"], from: config.dimension, to: width)
    features = .positional(SinusoidalEmbedding(dimension: width, flipSinToCos: false, frequencyShift: 0))
    timeEmbedding = TimestepEmbedding(scope["time_embedding"], features: width, channels: width)
    classEmbedding = config.classRows.map { ClassEmbedding(scope["class_embedding"], rows: $0, channels: width) }
    layers = (0..<config.layers).map { i in
      let scope = scope["layers", i]
      return (
        Linear(scope["linear_1"], from: width, to: width), Linear(scope["time_emb_proj"], from: width, to: width),
        Linear(scope["linear_2"], from: width, to: width, last: true)
      )
    }
    linearOut = Linear(scope["linear_out"], from: width, to: config.outChannels, last: true)
    parameters = scope.parameters
  }

  func callAsFunction(_ xt: Tensor, t: Tensor, given condition: NetworkCondition, dropout: DropoutSource?) -> Tensor {
    var embedding = timeEmbedding(features(t.asFloat))
    if let classEmbedding, let labels = condition.classLabels { embedding = embedding + classEmbedding(labels) }
    let time = embedding.silu()

    var h = linearIn(xt.reshaped([xt.shape[0], xt.shape[1]]))
    for layer in layers { h = h + layer.linear2((layer.linear1(h.silu()) + layer.time(time)).silu()) }
    let y = linearOut(h.silu())
    return y.reshaped([y.shape[0], y.shape[1], 1, 1])
  }
}
