import Files
import FuzzTargets
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What the fuzzer has found worth keeping (`scripts/fuzz`): every path through the parsers that it has seen.
@Suite struct CorpusTests {
  private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Corpus")

  @Test(arguments: FuzzTarget.allCases) func everyInputIsAcceptedOrRefusedInOneOfOurErrors(target: FuzzTarget) throws {
    let folder = Self.root.appending(path: target.rawValue)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { !$0.hasPrefix(".") }
    var accepted = 0
    for name in names.sorted() {
      let bytes = try FileBytes.read(folder.appending(path: name).path, limit: 1 << 20)
      let result = Result { () throws in try target.run(bytes) }
      switch result {
      case .success(let isAccepted): accepted += isAccepted ? 1 : 0
      case .failure(let error): Issue.record("\(target)/\(name): \(error)")
      }
    }
    // A corpus that a parser refuses wholly, or takes wholly, tests nothing.
    #expect(accepted > 0 && accepted < names.count, "\(accepted) of \(names.count) were accepted")
  }
}
