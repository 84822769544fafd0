import TensorGraph

extension OperatorCase {
  // MARK: Shape

  static let shapes: [OperatorCase] =
    [
      OperatorCase("reshape", [.data("x", [2, 3, 4])]) { _, x in [x[0].reshaped([6, 4]), x[0].reshaped([24])] },
      OperatorCase("reshape to and from a scalar", [.data("x", [1, 1])]) { _, x in
        [x[0].reshaped([]), x[0].reshaped([]).exp().reshaped([1, 1, 1])]
      },
    ]
    + ([
      ([5, 3], [1, 0]), ([2, 3, 4], [2, 0, 1]), ([2, 3, 4], [0, 2, 1]), ([2, 3, 4, 5], [0, 2, 3, 1]),
      ([2, 17, 3, 5], [0, 2, 1, 3]), ([2, 3, 4], [0, 1, 2]), ([7], [0]),
    ] as [(Shape, [Int])]).map { shape, permutation in
      OperatorCase("transpose \(shape) by \(permutation)", [.data("x", shape)]) { _, x in
        [x[0].transposed(permutation)]
      }
    }
    + ([
      ([[2, 3], [2, 4]], 1), ([[2, 3], [1, 3]], 0), ([[2, 3, 4, 4], [2, 5, 4, 4], [2, 1, 4, 4]], 1),
      ([[1, 16, 3, 3], [1, 20, 3, 3]], 1), ([[1, 2, 3, 3], [1, 2, 3, 2]], 3), ([[3], [1]], 0),
    ] as [([Shape], Int)]).map { shapes, axis in
      OperatorCase(
        "concat \(shapes) axis \(axis)", shapes.enumerated().map { .data("x\($0.offset)", $0.element) }
      ) { _, x in [concat(x, axis: axis)] }
    }
    + ([([2, 7], 1, 2, 5), ([4, 3], 0, 3, 4), ([2, 33, 2, 3], 1, 5, 25), ([2, 3, 4, 6], 3, 0, 1), ([5], 0, 0, 5)]
    as [(Shape, Int, Int, Int)]).map { shape, axis, from, to in
      OperatorCase("slice \(shape) axis \(axis) \(from)..<\(to)", [.data("x", shape)]) { _, x in
        [x[0].sliced(axis: axis, from..<to)]
      }
    }
    + ([([2, 3], 1, 1, 2), ([2, 3], 0, 0, 3), ([1, 5, 2, 3], 1, 4, 0), ([2, 3, 4, 4], 2, 1, 1)]
    as [(Shape, Int, Int, Int)]).map { shape, axis, before, after in
      OperatorCase("pad \(shape) axis \(axis) by \(before), \(after)", [.data("x", shape)]) { _, x in
        [x[0].padded(axis: axis, before: before, after: after)]
      }
    }
    + ([([], [2, 3]), ([3], [2, 3]), ([2, 1], [2, 5]), ([2, 3, 1, 1], [2, 3, 4, 5]), ([1, 4, 1], [2, 3, 4, 6])]
    as [(Shape, Shape)]).map { from, to in
      OperatorCase("broadcast \(from) to \(to)", [.data("x", from)]) { _, x in [x[0].broadcast(to: to)] }
    }
    + ([([1, 1, 1, 1], 2), ([2, 3, 3, 5], 2), ([1, 20, 7, 7], 2), ([1, 2, 2, 3], 3), ([1, 2, 3, 3], 1)]
    as [(Shape, Int)]).map { shape, factor in
      OperatorCase("upsampleNearest \(shape) by \(factor)", [.data("x", shape)]) { _, x in
        [x[0].upsampledNearest(factor)]
      }
    }
    + ([([2, 3, 4, 6], 2), ([1, 20, 14, 14], 2), ([1, 2, 6, 3], 3), ([2, 2, 4, 4], 4), ([1, 2, 3, 3], 1)]
    as [(Shape, Int)]).map { shape, factor in
      OperatorCase("averagePool \(shape) by \(factor)", [.data("x", shape)]) { _, x in [x[0].averagePooled(factor)] }
    }
    + [
      OperatorCase("split", [.data("x", [2, 6, 3])]) { _, x in x[0].split(axis: 1, parts: 3) }
    ]

  // MARK: Reductions

  static let reductions: [OperatorCase] =
    ([
      ([2, 3, 4], [0]), ([2, 3, 4], [1]), ([2, 3, 4], [2]), ([2, 3, 4], [0, 1, 2]), ([2, 3, 4], []), ([7], [0]),
      ([2, 20, 3, 5], [2, 3]), ([2, 20, 3, 5], [0, 2, 3]), ([2, 20, 3, 5], [1, 2, 3]), ([2, 20, 3, 5], [3, 1]),
      ([], []),
    ] as [(Shape, [Int])]).flatMap { shape, axes in
      [false, true].map { keep in
        OperatorCase("sum \(shape) over \(axes)\(keep ? " kept" : "")", [.data("x", shape)]) { _, x in
          [x[0].sum(axes, keepDimensions: keep)]
        }
      }
    } + [
      OperatorCase("mean", [.data("x", [2, 3, 4])]) { _, x in [x[0].mean(), x[0].mean([0, 2])] },
      OperatorCase("sumOfSquares of one", [.data("x", [37])]) { _, x in [sumOfSquares(x)] },
      OperatorCase("sumOfSquares of three", [.data("x", [2, 3]), .data("y", []), .data("z", [1, 20, 3, 3])]) { _, x in
        [sumOfSquares(x)]
      },
      OperatorCase("meanSquaredError", [.data("x", [2, 3, 4, 4]), .data("y", [2, 3, 4, 4])]) { _, x in
        [x[0].meanSquaredError(x[1])]
      },
    ]

  // MARK: Lookup

  static let lookups: [OperatorCase] =
    ([([10, 7], 4), ([1000], 3), ([5, 2, 3], 12), ([1, 4], 2)] as [(Shape, Int)]).flatMap { table, count in
      [
        OperatorCase(
          "gatherRows \(table) \(count)", [.parameter("table", table), .integers("i", [count], 0..<table[0])]
        ) { _, x in [x[0].gatherRows(x[1])] },
        OperatorCase(
          "scatterAddRows \(table) \(count)",
          [.data("rows", Shape([count] + table.dimensions.dropFirst())), .integers("i", [count], 0..<table[0])]
        ) { builder, x in [builder.apply(.scatterAddRows(count: table[0]), x)] },
      ]
    }
    + [(8, false, 1.0), (8, true, 0.0), (7, false, 0.0), (32, true, 1.0), (2, false, 0.0)].map {
      dimension, flip, shift in
      OperatorCase(
        "sinusoidalEmbedding \(dimension)\(flip ? " flipped" : "") shift \(shift)",
        [.fixed("t", [5], .values([0, 1, 17, 500, 999]))]
      ) { _, x in
        [
          x[0].sinusoidalEmbedding(
            SinusoidalEmbedding(dimension: dimension, flipSinToCos: flip, frequencyShift: shift))
        ]
      }
    }

  // MARK: Randomness

  static let randoms: [OperatorCase] =
    // Of the last some samples have their step in common, some not.
    ([([3, 5, 7], 2, 60_000), ([], 3, 60_000), ([1], 1, 60_000), ([4, 16, 16], 1, 60_000), ([5, 7], 9, 2)]
    as [(Shape, Int, Int)]).map { sample, count, limit in
      OperatorCase(
        "gaussianNoise \(count) × \(sample)",
        [.integers("counters", [count, 2], 0..<limit), .integers("key", [2], -2_000_000_000..<2_000_000_000)]
      ) { _, x in
        [
          Tensor.gaussianNoise(sample: sample, counters: x[0], key: x[1], stream: 0),
          Tensor.gaussianNoise(sample: sample, counters: x[0], key: x[1], stream: 7),
        ]
      }
    }
    + [0.1, 0.5, 0.9].map { rate in
      OperatorCase(
        "dropout \(rate)",
        [
          .data("x", [3, 5, 7]), .integers("counters", [3, 2], 0..<60_000),
          .integers("key", [2], -2_000_000_000..<2_000_000_000),
        ]
      ) { _, x in [x[0].dropout(rate: rate, counters: x[1], key: x[2], stream: 3)] }
    }

  // MARK: Optimisation

  static let optimisers: [OperatorCase] =
    ([([1], 0, 1), ([33], 0, 100), ([20, 3, 3, 3], 0.01, 2), ([5, 7], 0.1, 1000)] as [(Shape, Double, Int)]).map {
      shape, weightDecay, step in
      func correction(_ β: Double) -> Float { Float(1 - (0..<step).reduce(1.0) { power, _ in power * β }) }
      return OperatorCase(
        "adam \(shape) step \(step) weight decay \(weightDecay)",
        [
          .fixed("p", shape), .fixed("g", shape), .fixed("m", shape, .uniform(-0.1...0.1)),
          .fixed("v", shape, .uniform(0.001...0.1)), .fixed("ema", shape),
          .fixed("schedule", [5], .values([0.01, correction(0.9), correction(0.999), 0.5, 0.99])),
        ]
      ) { builder, x in builder.applyAll(.adam(Adam(weightDecay: weightDecay)), x) }
    }

  // MARK: Operators in company

  /// Between convolutions, where a backend chooses layouts: what reads and writes blocked images, and what makes it leave them.
  private static let middles: [(String, @Sendable (Tensor) -> Tensor)] = [
    ("nothing", { $0 }),
    ("a channel's scale", { $0 * $0.sum([0, 2, 3], keepDimensions: true) }),
    ("a sample's and channel's shift", { $0 + $0.mean([2, 3], keepDimensions: true) }),
    ("a pixel's scale", { $0 * $0.mean([1], keepDimensions: true) }),
    ("a residual", { $0 + $0.silu() }),
    ("concat and slice", { concat([$0, $0.exp()], axis: 1).sliced(axis: 1, 13..<33) }),
    ("aligned concat", { concat([$0.sliced(axis: 1, 0..<16), $0.sliced(axis: 1, 16..<20)], axis: 1) }),
    ("upsample and pool", { $0.upsampledNearest(2).sigmoid().averagePooled(2) }),
    ("transposition", { $0.transposed([0, 1, 3, 2]).transposed([0, 2, 3, 1]).transposed([0, 3, 2, 1]) }),
    ("padding of channels", { $0.padded(axis: 1, before: 3, after: 5).exp().sliced(axis: 1, 2..<22) }),
    ("softmax over columns", { $0.softmax() }),
    ("maximum", { $0.maximum(0.5 * $0 + 0.1) }),
    (
      "attention",
      { x in
        let flat = x.reshaped([2, 20, 30])
        return x + attention(q: flat, k: flat * 0.5, v: flat, heads: 2).reshaped(x.shape)
      }
    ),
  ]

  static let chains: [OperatorCase] =
    middles.map { name, middle in
      OperatorCase(
        "\(name) between convolutions",
        [.data("x", [2, 3, 5, 6]), weight("w", 20, 3, 3), .parameter("b", [20]), weight("v", 7, 20, 3)],
        tolerance: .winograd
      ) { _, x in
        let hidden = x[0].convolved(x[1], bias: x[2], padding: .init(1))
        return [middle(0.3 * hidden).convolved(x[3], padding: .init(1)), hidden.mean()]
      }
    } + [
      OperatorCase(
        "residual block",
        [
          .data("x", [2, 16, 6, 6]), .data("t", [2, 12]), .parameter("gamma1", [16]), .parameter("beta1", [16]),
          weight("w1", 24, 16, 3), .parameter("b1", [24]), .parameter("wt", [24, 12]), .parameter("bt", [24]),
          .parameter("gamma2", [24]), .parameter("beta2", [24]), weight("w2", 24, 24, 3), .parameter("b2", [24]),
          weight("ws", 24, 16, 1), .parameter("bs", [24]),
        ], tolerance: .winograd
      ) { _, x in
        let first = x[0].groupNorm(x[2], x[3], groups: 4, epsilon: 1e-5, silu: true)
          .convolved(x[4], bias: x[5], padding: .init(1))
        let shift = x[1].silu().linear(x[6], x[7])
        let second = first.groupNorm(x[8], x[9], groups: 8, epsilon: 1e-5, shift: shift, silu: true)
          .convolved(x[10], bias: x[11], padding: .init(1))
        return [0.5 * (second + x[0].convolved(x[12], bias: x[13]))]
      }
    ]
}
