/// A safetensors file that cannot be used, with the first reason found.
public struct SafetensorsError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The file, or a name for the bytes where they came from no file.
  public let file: String
  /// The first thing found wrong.
  public let problem: Problem

  /// - Parameter file: a path, or a name for bytes that come from no file.
  public init(file: String, problem: Problem) {
    self.file = file
    self.problem = problem
  }

  /// What can be wrong; byte positions count from the end of the header.
  public enum Problem: Error, Equatable, Sendable {
    case tooShort(bytes: Int)
    case headerLength(UInt64, available: Int)
    case longHeader(UInt64, limit: Int)
    case headerJSON(JSONError)
    case headerShape(String)
    case unknownType(tensor: String, type: String)
    case tooLarge(tensor: String, shape: [Int])
    case offsets(tensor: String, begin: Int, end: Int, available: Int)
    case size(tensor: String, shape: [Int], type: StoredType, expected: Int, found: Int)
    case overlap(tensor: String, with: String, at: Int)
    case gap(before: String, from: Int, to: Int)
    case trailing(from: Int, available: Int)
    case missing(tensor: String, present: [String])
    case unreadable(tensor: String, type: StoredType, readable: [StoredType])
    case checksum(expected: String, found: String)
    case duplicateName(String)
    case count(tensor: String, shape: [Int], values: Int)
  }

  public var description: String { "\(file): \(problem)".onOneLine }
}

extension SafetensorsError.Problem: CustomStringConvertible {
  public var description: String {
    switch self {
    case .tooShort(let bytes):
      "not a safetensors file: it has \(bytes) bytes, and the length of the header alone takes 8"
    case .headerLength(let length, let available):
      "not a safetensors file, or cut short: the header should take \(length) bytes, and \(available) follow"
    case .longHeader(let length, let limit):
      "the header takes \(length) bytes, and \(limit) are read: it is damaged, or of no network that we know"
    case .headerJSON(let error): "the header is \(error)"
    case .headerShape(let problem): "the header is wrong: \(problem)"
    case .unknownType(let tensor, let type):
      "tensor \(quoted(tensor)) has the unknown type \(quoted(type)); we know "
        + StoredType.allCases.map(\.rawValue).joined(separator: ", ")
    case .tooLarge(let tensor, let shape): "tensor \(quoted(tensor)) of shape \(shape) does not fit in memory"
    case .offsets(let tensor, let begin, let end, let available):
      "tensor \(quoted(tensor)) should lie at bytes \(begin)..<\(end) after the header, where the file has \(available): is it cut short?"
    case .size(let tensor, let shape, let type, let expected, let found):
      "tensor \(quoted(tensor)) of shape \(shape) and type \(type.rawValue) takes \(expected) bytes, not \(found)"
    case .overlap(let tensor, let other, let at):
      "tensors \(quoted(other)) and \(quoted(tensor)) overlap at byte \(at)"
    case .gap(let tensor, let from, let to):
      "bytes \(from)..<\(to) before tensor \(quoted(tensor)) belong to no tensor"
    case .trailing(let from, let available):
      "bytes \(from)..<\(available) after the last tensor belong to no tensor"
    case .missing(let tensor, let present):
      "there is no tensor \(quoted(tensor)); it holds \(list(present))"
    case .unreadable(let tensor, let type, let readable):
      "tensor \(quoted(tensor)) has type \(type.rawValue); here we read "
        + readable.map(\.rawValue).joined(separator: ", ")
    case .checksum(let expected, let found):
      "the CRC32C of its values is \(found), and its metadata say \(quoted(expected)): it is damaged, or another program changed the "
        + "values and kept the metadata; copy or write it anew, without \(Safetensors.checksumKey) if it is as you want it"
    case .duplicateName(let name): "two tensors are named \(quoted(name))"
    case .count(let tensor, let shape, let values):
      "tensor \(quoted(tensor)) of shape \(shape) was given \(values) values"
    }
  }
}
