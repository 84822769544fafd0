import Files
import TensorGraph
import TestSupport
import Testing
import XLABackend

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Compiled programs on disk.
@Suite("Compiled programs on disk", .needsPlugin)
struct CacheTests {
  private func program(times factor: Double) throws -> Program {
    let builder = GraphBuilder()
    builder.output("y", builder.input("x", [2]) * factor)
    return try builder.finish()
  }

  private func result(_ backend: XLABackend, times factor: Double) throws -> [Float]? {
    try backend.compile(program(times: factor)).run(["x": TensorData([1, 2] as [Float], shape: [2])])["y"]?.floats
  }

  @Test func secondStartTakesWhatTheFirstMade() throws {
    try withTemporaryFolder { folder in
      let backend = try TestPlugin.backend(cacheFolder: folder.appending(path: "new"))
      #expect(try result(backend, times: 2) == [2, 4])
      #expect(try result(backend, times: 3) == [3, 6])
      let cache = CompiledCache(folder: folder.appending(path: "new"))
      #expect(try names(in: folder.appending(path: "new")).count == 2)
      let keys = try [2.0, 3].map { backend.cacheKey(Module(try program(times: $0), LoweringOptions()).text) }
      let tripling = try #require(cache.bytes(for: keys[1]))
      // That it is used shows where it holds another program.
      cache.keep(tripling, for: keys[0])
      #expect(try result(backend, times: 2) == [3, 6])
    }
  }

  @Test func damagedFilesAreCompiledAgain() throws {
    try withTemporaryFolder { folder in
      let backend = try TestPlugin.backend(cacheFolder: folder)
      _ = try result(backend, times: 2)
      let url = folder.appending(path: try #require(try names(in: folder).first))
      let whole = try FileBytes.read(url.path, limit: 1 << 24)
      var flipped = whole
      flipped[whole.count / 2] ^= 1
      // The right checksum of what the plugin cannot read.
      let cache = CompiledCache(folder: folder)
      let key = backend.cacheKey(Module(try program(times: 2), LoweringOptions()).text)
      cache.keep([1, 2, 3], for: key)
      let nonsense = try FileBytes.read(url.path, limit: 1 << 24)
      for damaged in [flipped, Array(whole.prefix(whole.count - 1)), Array(whole.prefix(5)), [], nonsense] {
        try Data(damaged).write(to: url)
        #expect(try result(backend, times: 2) == [2, 4])
        #expect(try FileBytes.read(url.path, limit: 1 << 24).count > nonsense.count)
      }
      // Another key of the same name.
      #expect(cache.bytes(for: key + [0]) == nil)
    }
  }
}
