extension StrokeFont {
  /// Letters and signs of equations, in the notation of ``parse(_:)``.
  static let mathematics: [Character: String] = [
    "γ": "M 0 40 C 16 30 24 62 29 94 M 58 38 L 29 94 C 18 114 16 130 24 130 C 32 130 34 112 29 94",
    "δ": "M 46 8 C 32 -6 8 0 16 20 C 22 36 52 46 52 74 C 52 109 0 109 0 74 C 0 52 14 42 31 42",
    "ζ": "M 6 0 L 44 0 C 12 16 0 50 0 74 C 0 106 44 92 40 116 C 38 127 30 130 20 127",
    "η": "M 0 40 C 6 38 9 44 9 54 L 9 100 M 9 62 C 15 30 54 28 54 62 L 54 130",
    "θ": "M A 27 50 27 50 0 360 M 0 50 L 54 50",
    "κ": "M 0 38 L 0 100 M 42 38 L 0 76 M 16 62 L 46 100",
    "λ": "M 2 2 C 16 -2 20 8 24 22 L 52 100 M 28 34 L 0 100",
    "ν": "M 0 38 L 22 100 C 38 84 47 64 48 38",
    "ξ": "M 44 0 C -4 -2 -2 45 34 45 C -6 45 -10 97 26 97 C 50 97 46 126 22 128",
    "π": "M 0 46 C 6 38 12 38 18 38 L 66 38 M 20 38 L 14 100 M 46 38 C 44 66 42 102 60 97",
    "ρ": "M 0 130 L 0 69 M A 26 69 26 31 0 360",
    "τ": "M 0 46 C 6 38 10 38 16 38 L 54 38 M 28 38 L 25 84 C 25 102 36 101 43 96",
    "φ": "M A 32 69 32 31 0 360 M 32 8 L 32 130",
    "χ": "M 0 40 C 14 34 18 50 24 78 C 30 106 34 132 50 127 M 50 38 L 0 130",
    "ψ": "M 0 38 L 0 62 C 0 112 62 112 62 62 L 62 38 M 31 8 L 31 130",
    "ω": "M 14 38 C -12 60 -4 100 16 100 C 31 100 35 84 35 62 C 35 84 39 100 54 100 C 74 100 82 60 56 38",
    "Γ": "M 0 100 L 0 0 L 54 0",
    "Δ": "M 0 100 L 36 0 L 72 100 L 0 100",
    "Θ": "M A 42 50 42 50 0 360 M 24 50 L 60 50",
    "Λ": "M 0 100 L 36 0 L 72 100",
    "Ξ": "M 0 0 L 62 0 M 10 48 L 52 48 M 0 100 L 62 100",
    "Π": "M 0 100 L 0 0 L 66 0 L 66 100",
    "∏": "M 0 112 L 0 -10 L 72 -10 L 72 112",
    "Σ": "M 62 0 L 2 0 L 36 48 L 0 100 L 64 100",
    "∑": "M 70 -10 L 2 -10 L 40 50 L 0 112 L 72 112",
    "Φ": "M A 40 50 40 32 0 360 M 40 0 L 40 100",
    "Ψ": "M 0 0 L 0 28 C 0 76 76 76 76 28 L 76 0 M 38 0 L 38 100",
    "Ω": "M 0 100 L 26 100 C 26 84 2 74 2 42 C 2 -14 80 -14 80 42 C 80 74 56 84 56 100 L 82 100",
    "∇": "M 0 0 L 72 0 L 36 100 L 0 0",
    "∂": "M 10 14 C 22 -10 56 -4 56 48 C 56 84 44 100 26 100 C -8 100 -6 44 26 44 C 42 44 52 56 55 66",
    "∫": "M 46 -2 C 34 -16 28 -6 27 10 L 20 104 C 19 124 12 132 0 120",
    "∞":
      "M 40 68 C 28 52 20 48 13 48 C -5 48 -5 88 13 88 C 20 88 28 84 40 68 C 52 52 60 48 67 48 C 85 48 85 88 67 88 C 60 88 52 84 40 68",
    "≤": "M 46 22 L 0 48 L 46 74 M 0 96 L 46 96",
    "≥": "M 0 22 L 46 48 L 0 74 M 0 96 L 46 96",
    "≈": "M 0 56 C 8 42 18 44 25 51 C 32 58 42 62 50 46 M 0 84 C 8 70 18 72 25 79 C 32 86 42 90 50 74",
    "≠": "M 0 52 L 46 52 M 0 76 L 46 76 M 36 34 L 10 94",
    "∼": "M 0 70 C 8 56 18 58 25 65 C 32 72 42 76 50 60",
    "~": "M 0 70 C 8 56 18 58 25 65 C 32 72 42 76 50 60",
    "∝": "M 62 50 C 42 46 30 88 14 88 C -4 88 -4 50 14 50 C 30 50 42 92 62 88",
    "→": "M 0 64 L 66 64 M 48 46 L 66 64 L 48 82",
    "←": "M 66 64 L 0 64 M 18 46 L 0 64 L 18 82",
    "↔": "M 0 64 L 76 64 M 18 46 L 0 64 L 18 82 M 58 46 L 76 64 L 58 82",
    "∈": "M 48 38 L 30 38 C -9 38 -9 100 30 100 L 48 100 M 1 69 L 46 69",
    "‖": "M 2 -10 L 2 120 M 20 -10 L 20 120",
    "⟨": "M 20 -8 L 0 55 L 20 118",
    "⟩": "M 0 -8 L 20 55 L 0 118",
    "½": "M 0 10 L 12 0 L 12 46 M 56 0 L 8 100 M 40 66 C 42 50 64 52 63 66 C 62 78 48 86 40 100 L 66 100",
    "°": "M A 12 12 12 12 0 360",
    "′": "M 8 0 L 2 26",
    "{": "M 24 -8 C 8 -8 12 10 12 28 C 12 46 8 54 0 55 C 8 56 12 64 12 82 C 12 100 8 118 24 118",
    "}": "M 0 -8 C 16 -8 12 10 12 28 C 12 46 16 54 24 55 C 16 56 12 64 12 82 C 12 100 16 118 0 118",
  ]

  /// Small characters above and below the line, by what they are.
  private static let raised = Array("⁰0¹1³3⁴4⁵5⁶6⁷7⁸8⁹9⁺+⁻−ⁿnᵈdᵏkᵗtʷwˣxᵀT")
  private static let lowered = Array("₀0₁1₂2₃3₄4₅5₆6₇7₈8₉9₊+₋−₌=ₐaₑeₕhᵢiⱼjₖkₗlₘmₙnₚpₛsₜtₓx")

  /// Marks that stand above a letter: the bar of ᾱ, the hat of x̂, the tilde of β̃, the dot of ẋ.
  private static let marks: [(mark: String, draw: @Sendable (_ width: Double) -> [[Point]])] = [
    ("\u{304}", { width in [[Point(0, 0), Point(max(width, 30), 0)]] }),
    ("\u{302}", { width in [[Point(width / 2 - 16, 4), Point(width / 2, -12), Point(width / 2 + 16, 4)]] }),
    (
      "\u{303}",
      { width in
        [
          (0...12).map { i in
            let u = Double(i) / 12
            return Point(width / 2 - 22 + 44 * u, -4 + 14 * (u - 0.5) * (1 - u) * u * 8)
          }
        ]
      }
    ),
    ("\u{307}", { width in [[Point(width / 2, -4), Point(width / 2, -2)]] }),
  ]

  /// Letters with marks, and small characters, made of the plain ones.
  static func derived(from table: [Character: [Shape]]) -> [Character: [Shape]] {
    var derived: [Character: [Shape]] = [:]
    for (small, scale, shift) in [(raised, 0.58, -16.0), (lowered, 0.58, 64.0)] {
      for i in stride(from: 0, to: small.count - 1, by: 2) {
        guard let shape = table[small[i + 1]]?.first else { continue }
        derived[small[i]] = [
          Shape(
            strokes: shape.strokes.map { $0.map { Point(scale * $0.x, scale * $0.y + shift) } },
            advance: scale * (shape.advance - spacing) + 0.6 * spacing)
        ]
      }
    }
    for (letter, shapes) in table where letter.isLetter {
      guard let shape = shapes.first, let bounds = Bounds(shape.strokes.joined()) else { continue }
      // i and j give up their dots.
      let body = letter == "i" || letter == "j" ? Array(shape.strokes.dropLast()) : shape.strokes
      let top = (letter == "i" || letter == "j" ? 38 : bounds.low.y) - 20
      for (mark, draw) in marks {
        let above = draw(bounds.width).map { $0.map { $0 + Point(bounds.low.x, top) } }
        // A mark may be wider than its letter.
        let low = min(0, above.joined().map(\.x).min() ?? 0)
        let high = max(bounds.high.x, above.joined().map(\.x).max() ?? 0)
        // Equal as characters, however they are written: ᾱ may be one scalar or two.
        derived[Character("\(letter)\(mark)")] = [
          Shape(
            strokes: (body + above).map { $0.map { Point($0.x - low, $0.y) } }, advance: high - low + spacing)
        ]
      }
    }
    return derived
  }
}
