import TensorGraph

extension OperatorCase {
  /// Every operator, over many shapes.
  public static let all: [OperatorCase] = [
    unary, unaryInBlocks, binary, conversions, specials,
    matmuls, convolutions, groupNorms, softmaxes, attentions,
    shapes, reductions, lookups, randoms, optimisers, chains,
  ].flatMap { $0 }

  // MARK: Element by element

  /// A function of one element, and where to test it: within its domain, and away from its kinks.
  private static let functions: [(UnaryOp, Fill)] = [
    (.negate, .normal), (.reciprocal, .magnitude(0.5...2)), (.square, .normal), (.squareRoot, .uniform(0.1...4)),
    (.reciprocalSquareRoot, .uniform(0.1...4)), (.absolute, .avoiding([0], -2...2)), (.exp, .normal),
    (.log, .uniform(0.1...5)), (.log1p, .uniform(-0.5...3)), (.expm1, .normal), (.sin, .uniform(-9...9)),
    (.cos, .uniform(-9...9)), (.tanh, .normal), (.sigmoid, .uniform(-6...6)), (.softplus, .uniform(-6...6)),
    (.erf, .normal), (.erfc, .normal), (.logNormalCDF, .uniform(-5...5)), (.relu, .avoiding([0], -2...2)),
    (.silu, .uniform(-6...6)), (.mish, .uniform(-6...6)), (.gelu, .uniform(-4...4)),
    (.step, .avoiding([0], -2...2)), (.scale(-1.75), .normal), (.offset(0.3), .normal),
    (.clamp(-0.5, 0.75), .avoiding([-0.5, 0.75], -2...2)),
  ]

  private static let unary = functions.flatMap { function, fill in
    ([[1], [33], [2, 3, 5, 7], []] as [Shape]).map { shape in
      OperatorCase("\(function.name) \(shape)", [.data("x", shape, fill)]) { _, x in [x[0].unary(function)] }
    }
  }

  /// Between convolutions, where a backend may keep 20 channels in blocks of 16: f(0) ≠ 0 must not leak from the block's empty lanes.
  private static let unaryInBlocks = ([.exp, .cos, .sigmoid, .softplus, .offset(1), .silu, .gelu] as [UnaryOp]).map {
    function in
    OperatorCase(
      "\(function.name) between convolutions",
      [.data("x", [2, 3, 5, 6]), weight("w", 20, 3, 1), weight("v", 5, 20, 3)],
      tolerance: .winograd
    ) { _, x in [x[0].convolved(x[1]).unary(function).convolved(x[2], padding: .init(1))] }
  }

  private static let broadcasts: [(Shape, Shape)] = [
    ([4, 5], [4, 5]), ([2, 3, 5, 7], [2, 3, 5, 7]), ([2, 3, 5, 7], []), ([], [2, 3]), ([2, 3, 5, 7], [1]),
    ([2, 3, 5, 7], [7]), ([2, 3, 5, 7], [5, 1]), ([2, 3, 5, 7], [3, 1, 1]), ([2, 3, 5, 7], [2, 1, 1, 1]),
    ([2, 3, 5, 7], [1, 3, 1, 1]), ([2, 3, 1, 1], [2, 3, 5, 7]), ([2, 1, 5, 7], [2, 3, 1, 7]), ([5, 1], [1, 6]),
    ([3], [2, 1]), ([1, 1], [3, 4]), ([1], []), ([], []), ([2, 20, 3, 3], [2, 20, 1, 1]), ([6, 17], [17]),
  ]

  private static let binary = broadcasts.enumerated().flatMap { index, shapes in
    // Every function on the first five pairs of shapes, those of most use on all.
    BinaryOp.allCases.filter { index < 5 || [.add, .multiply, .divide].contains($0) }.map { function in
      OperatorCase(
        "\(function.rawValue) \(shapes.0) \(shapes.1)",
        [.data("a", shapes.0), .data("b", shapes.1, function == .divide ? .magnitude(0.5...2) : .normal)]
      ) { builder, x in [builder.apply(.binary(function), x)] }
    }
  }

  private static let conversions = [
    OperatorCase("toFloat", [.integers("i", [7], -1000..<1000)]) { _, x in [x[0].toFloat()] },
    OperatorCase("toFloat of reshaped integers", [.integers("i", [6], 0..<10)]) { _, x in
      [x[0].reshaped([2, 3]).toFloat() * 0.5]
    },
    OperatorCase("constant", [.data("x", [2, 3])]) { builder, x in
      [x[0] * builder.constant([1, -2, 0.5], shape: [3]), builder.constant([4, 5], shape: [2])]
    },
    OperatorCase("the same operand twice", [.data("x", [2, 3])]) { _, x in [x[0] * x[0] + x[0]] },
  ]

  // MARK: NaN and infinity

  private static let specials: [OperatorCase] =
    functions.map { function, _ in
      OperatorCase("\(function.name) of NaN and infinity", [.data("x", [11], .specials)]) { _, x in
        [x[0].unary(function)]
      }
    }
    + BinaryOp.allCases.map { function in
      OperatorCase(
        "\(function.rawValue) of NaN and infinity", [.data("a", [11, 1], .specials), .data("b", [11], .specials)]
      ) { builder, x in [builder.apply(.binary(function), x)] }
    } + [
      OperatorCase(
        "softmax of NaN and infinity",
        [
          .data(
            "x", [5, 3],
            .values([
              1, .nan, 2, 1, .infinity, 2, 1, -.infinity, 2, -.infinity, -.infinity, -.infinity, 100, -100, 88,
            ]))
        ]
      ) { _, x in [x[0].softmax()] },
      OperatorCase(
        "groupNorm of NaN and infinity",
        [
          .data("x", [1, 4, 3], .values([1, 2, .nan, 4, 5, 6, 3, 2, 1, 0, -1, -2])), .parameter("gamma", [4]),
          .parameter("beta", [4]),
        ]
      ) { _, x in [x[0].groupNorm(x[1], x[2], groups: 2, epsilon: 1e-5)] },
      OperatorCase(
        "matmul of NaN and infinity",
        [.data("a", [3, 2], .values([1, .nan, 0, .infinity, 2, 3])), .data("b", [2, 2], .values([1, 2, 3, 4]))]
      ) { _, x in [x[0].matmul(x[1])] },
      OperatorCase(
        "1×1 convolution of NaN and infinity",
        [
          .data("x", [1, 2, 2, 2], .values([1, .nan, 2, .infinity, 3, 4, 5, 6])),
          .parameter("w", [3, 2, 1, 1], .magnitude(0.5...1)),
        ]
      ) { _, x in [x[0].convolved(x[1])] },
      OperatorCase("sum of NaN and infinity", [.data("x", [3, 2], .values([1, .nan, 2, .infinity, 3, 4]))]) { _, x in
        [x[0].sum([1]), x[0].sum()]
      },
    ]

  // MARK: Linear algebra

  private static let matmuls: [OperatorCase] =
    ([
      ([], [], 5, 7, 3), ([], [], 1, 1, 1), ([], [], 33, 17, 20), ([2], [2], 4, 3, 5), ([2, 3], [2, 3], 2, 5, 3),
      ([3], [], 4, 5, 2), ([], [3], 4, 5, 2), ([2, 2], [], 3, 4, 5), ([], [], 1, 64, 48),
    ] as [([Int], [Int], Int, Int, Int)]).flatMap { batchA, batchB, m, k, n in
      [(false, false), (false, true), (true, false), (true, true)].map { transposeA, transposeB in
        let a = Shape(batchA + (transposeA ? [k, m] : [m, k]))
        let b = Shape(batchB + (transposeB ? [n, k] : [k, n]))
        return OperatorCase(
          "matmul \(a)\(transposeA ? "ᵀ" : "") \(b)\(transposeB ? "ᵀ" : "")", [.data("a", a), .parameter("b", b)]
        ) { _, x in [x[0].matmul(x[1], transposeA: transposeA, transposeB: transposeB)] }
      }
    }
    + ([([1], 32, 128), ([3], 7, 5), ([2, 3], 9, 4), ([4, 5, 6], 3, 2)] as [([Int], Int, Int)]).map { rows, i, o in
      OperatorCase(
        "linear \(rows) \(i) → \(o)",
        [.data("x", Shape(rows + [i])), .parameter("w", [o, i]), .parameter("b", [o])]
      ) { _, x in [x[0].linear(x[1], x[2])] }
    }

  private static func weight(_ name: String, _ co: Int, _ ci: Int, _ k: Int) -> Leaf {
    .parameter(name, [co, ci, k, k], .uniform(-0.5...0.5))
  }

  private static let convolutions: [OperatorCase] =
    ([
      // x, kernel (Co, Kh, Kw), stride, padding, bias
      ([1, 1, 5, 5], [1, 1, 1], 1, .init(0), false),
      ([2, 3, 7, 5], [4, 3, 3], 1, .init(1), true),
      ([2, 3, 7, 5], [4, 3, 3], 1, .init(1), false),
      ([1, 4, 1, 1], [3, 3, 3], 1, .init(1), true),
      ([1, 5, 4, 4], [7, 3, 3], 1, .init(0), true),
      ([1, 16, 8, 8], [16, 3, 3], 1, .init(1), true),
      ([2, 20, 9, 11], [24, 3, 3], 1, .init(1), true),
      ([1, 3, 32, 32], [32, 3, 3], 1, .init(1), true),
      ([1, 33, 6, 6], [3, 3, 3], 1, .init(1), true),
      ([3, 32, 16, 16], [32, 3, 3], 1, .init(1), true),
      ([2, 64, 14, 14], [48, 3, 3], 1, .init(1), true),
      ([2, 64, 7, 7], [64, 3, 3], 1, .init(1), false),
      ([2, 5, 6, 4], [9, 1, 1], 1, .init(0), true),
      ([1, 17, 5, 5], [16, 1, 1], 1, .init(0), false),
      ([2, 48, 7, 7], [32, 1, 1], 1, .init(0), true),
      ([2, 6, 5, 5], [4, 1, 1], 2, .init(0), true),
      // Down by two, as diffusers pads (1 all around) and as the paper does (right and bottom).
      ([1, 16, 28, 28], [16, 3, 3], 2, .init(1), true),
      ([1, 16, 14, 14], [16, 3, 3], 2, .init(1), true),
      ([2, 3, 7, 9], [5, 3, 3], 2, .init(1), true),
      ([2, 3, 8, 6], [5, 3, 3], 2, .init(1), true),
      ([1, 16, 28, 28], [16, 3, 3], 2, .init(top: 0, left: 0, bottom: 1, right: 1), true),
      ([2, 3, 8, 8], [4, 3, 3], 2, .init(top: 0, left: 0, bottom: 1, right: 1), true),
      ([2, 3, 7, 5], [4, 3, 3], 2, .init(top: 0, left: 0, bottom: 1, right: 1), false),
      ([1, 20, 6, 6], [12, 3, 3], 2, .init(top: 0, left: 0, bottom: 1, right: 1), true),
      ([1, 3, 5, 6], [4, 3, 3], 1, .init(top: 2, left: 0, bottom: 0, right: 1), true),
      ([1, 2, 9, 9], [3, 5, 5], 1, .init(2), true),
      ([1, 2, 6, 7], [3, 2, 3], 1, .init(1), true),
      ([1, 2, 11, 10], [3, 3, 3], 3, .init(1), true),
      ([2, 2, 4, 4], [3, 4, 4], 1, .init(0), true),
      // A padding wider than the kernel's reach: some rows of the result see nothing but the bias.
      ([1, 2, 3, 3], [2, 2, 2], 1, .init(3), true),
    ] as [(Shape, [Int], Int, Convolution.Padding, Bool)]).map { x, kernel, stride, padding, bias in
      let sides = [padding.top, padding.left, padding.bottom, padding.right]
      let w = Shape([kernel[0], x[1], kernel[1], kernel[2]])
      return OperatorCase(
        "convolution \(x) \(w) stride \(stride) padding \(sides)\(bias ? " bias" : "")",
        [.data("x", x), .parameter("w", w, .uniform(-0.5...0.5))] + (bias ? [.parameter("b", [w[0]])] : []),
        tolerance: kernel == [kernel[0], 3, 3] && stride == 1 ? .winograd : .direct
      ) { _, leaf in
        [leaf[0].convolved(leaf[1], bias: leaf.count == 3 ? leaf[2] : nil, stride: stride, padding: padding)]
      }
    }

  // MARK: Normalisation and attention

  private static let groupNorms: [OperatorCase] =
    ([
      ([2, 8, 5, 3], 1), ([2, 8, 5, 3], 2), ([2, 8, 5, 3], 8), ([1, 32, 7, 7], 32), ([3, 33, 4, 4], 3),
      ([2, 6], 2), ([2, 6, 9], 3), ([4, 20, 1, 1], 5), ([1, 4, 1, 2], 4), ([2, 64, 14, 14], 32),
    ] as [(Shape, Int)]).flatMap { shape, groups in
      [(false, false), (true, false), (false, true), (true, true)].map { hasShift, silu in
        OperatorCase(
          "groupNorm \(shape) groups \(groups)\(hasShift ? " shift" : "")\(silu ? " silu" : "")",
          [
            .data("x", shape, .uniform(-1...3)), .parameter("gamma", [shape[1]], .uniform(0.5...1.5)),
            .parameter("beta", [shape[1]]),
          ] + (hasShift ? [.data("shift", [shape[0], shape[1]])] : [])
        ) { _, x in
          [
            x[0].groupNorm(
              x[1], x[2], groups: groups, epsilon: 1e-3, shift: x.count == 4 ? x[3] : nil, silu: silu)
          ]
        }
      }
    }

  private static let softmaxes = ([[3, 5], [1, 1], [2, 3, 17], [7], [2, 49, 49]] as [Shape]).map { shape in
    OperatorCase("softmax \(shape)", [.data("x", shape, .uniform(-4...4))]) { _, x in [x[0].softmax()] }
  }

  private static let attentions: [OperatorCase] =
    ([
      // N, channels, queries, keys, heads
      (1, 1, 1, 1, 1), (1, 4, 5, 5, 1), (2, 6, 7, 7, 2), (2, 6, 7, 3, 3), (1, 8, 3, 9, 8), (1, 16, 49, 49, 4),
      (2, 64, 16, 16, 1), (1, 20, 33, 33, 2),
    ] as [(Int, Int, Int, Int, Int)]).map { n, channels, queries, keys, heads in
      OperatorCase(
        "attention N \(n) channels \(channels) L \(queries), \(keys) heads \(heads)",
        [.data("q", [n, channels, queries]), .data("k", [n, channels, keys]), .data("v", [n, channels, keys])]
      ) { _, x in [attention(q: x[0], k: x[1], v: x[2], heads: heads)] }
    } + [
      OperatorCase(
        "attention with a scale of its own", [.data("q", [1, 4, 5]), .data("k", [1, 4, 5]), .data("v", [1, 4, 5])]
      ) { _, x in [attention(q: x[0], k: x[1], v: x[2], heads: 2, scale: 0.3)] }
    ]

  // MARK: Shape

  private static let shapes: [OperatorCase] =
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

  private static let reductions: [OperatorCase] =
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

  private static let lookups: [OperatorCase] =
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

  private static let randoms: [OperatorCase] =
    ([([3, 5, 7], 2), ([], 3), ([1], 1), ([4, 16, 16], 1)] as [(Shape, Int)]).map { sample, count in
      OperatorCase(
        "gaussianNoise \(count) × \(sample)",
        [.integers("counters", [count, 2], 0..<60_000), .integers("key", [2], -2_000_000_000..<2_000_000_000)]
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

  private static let optimisers: [OperatorCase] =
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

  private static let chains: [OperatorCase] =
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
