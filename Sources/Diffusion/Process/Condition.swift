/// What the samples of a batch are asked to be. It goes with x_t into every prediction, and is a value, never a denoiser's state.
///
/// ```swift
/// let output = try denoiser.predict(xt, at: t, given: .classes([3, 3, nil]))  // two threes, and anything
/// ```
public struct Condition: Sendable, Equatable {
  /// The class of each sample, counted from 0; nil is the null condition ∅: any class. Absent where no class is asked for.
  public var classes: [Int?]?
  /// A picture for each sample, [N, C, H, W]: what the network is shown beside x_t. Absent where none is asked for.
  public var pictures: Images?

  /// - Parameters:
  ///   - classes: one a sample.
  ///   - pictures: one a sample.
  public init(classes: [Int?]? = nil, pictures: Images? = nil) {
    precondition(
      classes == nil || pictures == nil || classes?.count == pictures?.shape.count,
      "\(classes?.count ?? 0) classes and \(pictures?.shape.count ?? 0) pictures do not go together")
    self.classes = classes
    self.pictures = pictures
  }

  /// Nothing is asked of the samples: the condition of an unconditional network.
  public static let none = Condition()

  /// One class a sample; nil is the null condition.
  public static func classes(_ classes: [Int?]) -> Condition { Condition(classes: classes) }

  /// The conditions of some of the samples.
  public subscript(samples: Range<Int>) -> Condition {
    Condition(classes: classes.map { Array($0[samples]) }, pictures: pictures?.samples(samples))
  }

  /// The conditions of each part in turn; all parts ask for the same kinds.
  public init(joining parts: [Condition]) {
    let classes = parts.compactMap(\.classes)
    let pictures = parts.compactMap(\.pictures)
    precondition(
      [0, parts.count].contains(classes.count) && [0, parts.count].contains(pictures.count),
      "conditions of several kinds do not join")
    self.init(
      classes: classes.isEmpty ? nil : classes.flatMap(\.self),
      pictures: pictures.isEmpty ? nil : Images(joining: pictures))
  }
}
