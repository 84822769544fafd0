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
    // Fixed: finite differences do not see that it is a constant.
    OperatorCase("detach", [.fixed("x", [2, 3]), .integers("i", [4], 0..<10)]) { _, x in
      [x[0].exp().detached() + x[0], x[1].detached().toFloat()]
    },
    OperatorCase(
      "detach between convolutions",
      [.fixed("x", [2, 16, 4, 5]), .fixed("w", [32, 16, 3, 3]), .fixed("v", [7, 32, 1, 1])],
      tolerance: .winograd
    ) { _, x in
      let hidden = x[0].convolved(x[1], padding: .init(1))
      return [(hidden.detached() * hidden).convolved(x[2]), x[1].detached().sum()]
    },
    OperatorCase("allReduceMean on one device", [.data("x", [2, 3])]) { _, x in [x[0].exp().allReducedMean()] },
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

  static func weight(_ name: String, _ co: Int, _ ci: Int, _ k: Int) -> Leaf {
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
      // A network's last layer.
      ([2, 32, 9, 7], [3, 3, 3], 1, .init(1), true),
      ([3, 16, 14, 14], [1, 3, 3], 1, .init(1), false),
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
}
