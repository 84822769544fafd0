import Platform

/// One axis: a range of values laid onto a range of positions, with ticks at round numbers.
struct Axis {
  let scale: Plot.Scale
  /// In the scale's own terms: values, or their decimal logarithms.
  let low: Double
  let high: Double
  let ticks: [(value: Double, text: String)]

  /// - Parameters:
  ///   - values: what must be seen.
  ///   - fixed: the range, if it is given.
  ///   - wanted: about how many ticks there is room for.
  init(values: some Sequence<Double>, fixed: ClosedRange<Double>?, scale: Plot.Scale, wanted: Int, pads: Bool) {
    self.scale = scale
    var low = Double.infinity, high = -Double.infinity
    if let fixed, scale == .linear || fixed.lowerBound > 0 {
      (low, high) = (Self.forward(fixed.lowerBound, scale), Self.forward(fixed.upperBound, scale))
    } else {
      for value in values {
        let place = Self.forward(value, scale)
        guard place.isFinite else { continue }
        (low, high) = (min(low, place), max(high, place))
      }
    }
    if !(low <= high) { (low, high) = (0, 1) }
    if !(high - low > 1e-12 * max(abs(low), abs(high), 1e-300)) {
      let room = scale == .logarithmic ? 0.5 : max(abs(low) * 0.1, 1e-6)
      (low, high) = (low - room, high + room)
    }
    if pads && fixed == nil {
      let room = 0.04 * (high - low)
      // Values that do not go below zero do not need an axis that does.
      let floor = scale == .linear && low >= 0 ? 0 : -Double.infinity
      (low, high) = (max(low - room, floor), high + room)
    }
    self.low = low
    self.high = high
    ticks =
      scale == .linear ? Self.linearTicks(low, high, wanted) : Self.logarithmicTicks(low, high, wanted)
  }

  /// 0 at the low end, 1 at the high end; not finite where a logarithm is not.
  func place(_ value: Double) -> Double { (Self.forward(value, scale) - low) / (high - low) }

  private static func forward(_ value: Double, _ scale: Plot.Scale) -> Double {
    switch scale {
    case .linear: value
    case .logarithmic: value > 0 ? log10(value) : .nan
    }
  }

  private static func linearTicks(_ low: Double, _ high: Double, _ wanted: Int) -> [(Double, String)] {
    // 1, 2 or 5 times a power of ten: whichever comes closest to the number of ticks wanted.
    let rough = (high - low) / Double(max(wanted, 1))
    let power = pow(10, floor(log10(rough)))
    let step = ([1, 2, 5, 10].min { abs(log($0 * power / rough)) < abs(log($1 * power / rough)) } ?? 10) * power
    let first = (low / step - 1e-9).rounded(.up), last = (high / step + 1e-9).rounded(.down)
    guard first.isFinite, last.isFinite, last >= first, last - first < 100 else { return [] }
    return (0...Int(last - first)).map { i in
      let value = (first + Double(i)) * step
      return (value, text(value, step: step, largest: max(abs(low), abs(high))))
    }
  }

  private static func logarithmicTicks(_ low: Double, _ high: Double, _ wanted: Int) -> [(Double, String)] {
    let first = Int(low.rounded(.down)), last = Int(high.rounded(.up))
    let decades = (first...max(first, last)).filter { Double($0) >= low - 1e-9 && Double($0) <= high + 1e-9 }
    func powers(_ mantissas: [Double]) -> [(Double, String)] {
      (first...max(first, last)).flatMap { power in
        mantissas.compactMap { mantissa -> (Double, String)? in
          let value = mantissa * pow(10, Double(power)), place = log10(value)
          guard place >= low - 1e-9, place <= high + 1e-9 else { return nil }
          return (value, logText(mantissa, power))
        }
      }
    }
    if decades.count >= 3 {
      let every = (decades.count + wanted) / (wanted + 1)
      return decades.filter { $0.isMultiple(of: max(1, every)) }.map { (pow(10, Double($0)), logText(1, $0)) }
    }
    let few = powers([1, 2, 5])
    // Less than a decade: round steps, as on a linear axis.
    return few.count >= 3 ? few : linearTicks(pow(10, low), pow(10, high), wanted)
  }

  private static func logText(_ mantissa: Double, _ power: Int) -> String {
    if (-3...3).contains(power) { return fixed(mantissa * pow(10, Double(power)), decimals: max(0, -power)) }
    return "\(Int(mantissa))e\(power)"
  }

  /// A tick's value with just the decimals that its step needs.
  private static func text(_ value: Double, step: Double, largest: Double) -> String {
    if value == 0 { return "0" }
    for (unit, suffix) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] where largest >= 10 * unit || step >= unit {
      return fixed(value / unit, decimals: decimals(step / unit)) + suffix
    }
    guard largest >= 1e-3 else {
      let power = Int(floor(log10(largest))), unit = pow(10, Double(power))
      return fixed(value / unit, decimals: decimals(step / unit)) + "e\(power)"
    }
    return fixed(value, decimals: decimals(step))
  }

  private static func decimals(_ step: Double) -> Int { min(max(0, -Int(floor(log10(step) + 1e-9))), 12) }

  /// Fixed-point text: FoundationEssentials has no format strings.
  static func fixed(_ value: Double, decimals: Int) -> String {
    let unit = pow(10, Double(decimals))
    let scaled = (abs(value) * unit).rounded()
    guard scaled < 9e15 else { return "\(value)" }
    let digits = String(Int(scaled))
    let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
    let sign = value < 0 && scaled > 0 ? "−" : ""
    return decimals == 0 ? sign + padded : sign + padded.dropLast(decimals) + "." + padded.suffix(decimals)
  }
}
