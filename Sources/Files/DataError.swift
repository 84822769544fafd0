/// Data that cannot be used: which file, what is wrong with it, and what would work.
public struct DataError: Error, CustomStringConvertible, Equatable, Sendable {
  /// What is wrong, for who handles it; ``problem`` says it for who reads it.
  public enum Kind: Sendable {
    /// Damaged, or cut short.
    case corrupt
    /// Whole, but of a kind that is not read here.
    case unsupported
    /// A header asks for more than the limit.
    case tooLarge
    /// Images of several sizes, and no size was asked for.
    case mixedSizes
    /// Nothing to train on.
    case empty
    /// Something that belongs to the data set (a file, a split) is not there.
    case missing
    /// There under two names, or more.
    case duplicate
  }

  /// What is wrong, for a program.
  public let kind: Kind
  /// The file or folder; a file in an archive is `ARCHIVE:PATH`.
  public let file: String
  /// What was found.
  public let problem: String
  /// What to try next, or empty.
  public let remedy: String

  /// - Parameters:
  ///   - problem: what was found, to go after "FILE: ".
  ///   - remedy: what to try next, to go in brackets; empty for nothing.
  public init(_ kind: Kind, file: String, _ problem: String, remedy: String = "") {
    self.kind = kind
    self.file = file
    self.problem = problem
    self.remedy = remedy
  }

  public var description: String { ("\(file): \(problem)" + (remedy.isEmpty ? "" : " (\(remedy))")).onOneLine }
}
