import Diffusers
import Files
import Networks
import TestSupport
import Testing

/// Hostile files: whatever is done to a good one, it loads, or a typed error says why not. A crash fails the run.
@Suite struct PipelineFuzzTests {
  @Test func mutatedSafetensorsLoadOrExplain() throws {
    var random = SplitMix64(seed: 2020)
    let good = try Safetensors.bytes([
      NamedTensor("conv_in.weight", shape: [2, 1, 3, 3], floats: (0..<18).map(Float.init)),
      NamedTensor("mid_block.attentions.0.query.weight", shape: [2, 2], floats: [1, 2, 3, 4]),
      NamedTensor("empty", shape: [0, 7], floats: []), NamedTensor("timestep", shape: [2], integers: [3, 777]),
    ])
    var loaded = 0
    for round in 0..<8_000 {
      let bytes = random.mutate(good, protecting: round % 2 == 0 ? 8 : 0)
      do {
        let file = try SafetensorsFile(bytes: bytes)
        loaded += 1
        for tensor in file.tensors {
          // Every element that the header promises can be read.
          if StoredType.floats.contains(tensor.type) { #expect(try file.floats(tensor.name).count == tensor.count) }
          if StoredType.integers.contains(tensor.type) { #expect(try file.integers(tensor.name).count == tensor.count) }
          _ = WeightNames.current(tensor.name)
        }
        #expect(file.tensors.reduce(0) { $0 + $1.bytes.count } <= bytes.count)
      } catch {
        #expect(!error.description.contains { $0.isNewline })
      }
    }
    // Both outcomes must be common, or the mutations test nothing.
    #expect(loaded > 400 && loaded < 7_600, "\(loaded) of 8000 loaded")
  }

  @Test func mutatedConfigurationsLoadOrExplain() throws {
    var random = SplitMix64(seed: 2006)
    let good = Array(
      JSONValue.object(UNetConfig.paperCIFAR10.json(updating: ["x": [1e-6, "é\n", .null]])).canonicalText.utf8)
    var loaded = 0
    for _ in 0..<8_000 {
      let bytes = random.mutate(good, protecting: 0)
      do {
        let value = try JSONValue(parsing: bytes)
        // What we read we can write, and read again as the same.
        let text = value.canonicalText
        #expect(try JSONValue(parsing: text).canonicalText == text)
        #expect(try JSONValue(parsing: value.compactText).canonicalText == text)
        guard let object = value.object else { continue }
        let config = try UNetConfig(json: object)
        #expect(try UNetConfig(json: config.json()) == config)
        loaded += 1
      } catch let error as JSONError {
        #expect(!error.description.contains { $0.isNewline })
      } catch let error as PipelineError {
        #expect(!error.description.contains { $0.isNewline })
      }
    }
    #expect(loaded > 400 && loaded < 7_600, "\(loaded) of 8000 loaded")
  }
}

extension SplitMix64 {
  /// One or two random edits of the kind that break readers.
  fileprivate mutating func mutate(_ good: [UInt8], protecting prefix: Int) -> [UInt8] {
    var bytes = good
    for _ in 0..<Int.random(in: 1...2, using: &self) where bytes.count > prefix {
      let at = Int.random(in: prefix..<bytes.count, using: &self)
      let end = min(bytes.count, at + Int.random(in: 1...24, using: &self))
      switch Int.random(in: 0..<8, using: &self) {
      case 0: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &self)
      case 1: bytes[at] = UInt8.random(in: 0...255, using: &self)
      case 2: bytes[at] = Array("0123456789-.eE[]{}\",: \\un".utf8).randomElement(using: &self) ?? 0
      case 3: bytes.removeSubrange(at..<end)
      case 4: bytes.insert(contentsOf: bytes[at..<end], at: at)
      case 5: bytes.removeSubrange(at...)
      case 6: bytes.append(contentsOf: (0..<end - at).map { _ in UInt8.random(in: 0...255, using: &self) })
      default:
        let tokens = [
          "9223372036854775807", "-1", "1e400", "null", "\"a\":1,", "[[[[[[", "NaN", "18446744073709551616",
        ]
        bytes.insert(contentsOf: Array((tokens.randomElement(using: &self) ?? "").utf8), at: at)
      }
    }
    return bytes
  }
}
