import Datasets
import Files
import Pictures
import TestSupport
import Testing
import Threads

@Suite struct LoadingTests {
  @Test(arguments: [1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097])
  func everyEpochIsAPermutation(count: Int) {
    let shuffle = EpochShuffle(seed: 7, count: count)
    for epoch in 0..<3 {
      let order = (0..<count).map { shuffle[epoch * count + $0] }
      #expect(order.sorted() == Array(0..<count))
      if count > 10 { #expect(order != (0..<count).map { shuffle[(epoch + 1) * count + $0] }) }
    }
  }

  @Test func permutationsAreUniform() {
    // χ² over the 24 orders of four things: 23 degrees of freedom, 49.7 is exceeded once in a thousand.
    var orders: [[Int]: Int] = [:]
    let shuffle = EpochShuffle(seed: 1, count: 4)
    for epoch in 0..<24_000 { orders[(0..<4).map { shuffle[4 * epoch + $0] }, default: 0] += 1 }
    let chi = orders.values.reduce(0.0) { $0 + (Double($1) - 1000) * (Double($1) - 1000) / 1000 }
    #expect(orders.count == 24 && chi < 49.7)
    // And in a large set: where an element lands does not depend on where it was.
    let large = EpochShuffle(seed: 2, count: 10_000)
    let correlation = (0..<10_000).reduce(0.0) { $0 + (Double($1) - 4999.5) * (Double(large[$1]) - 4999.5) }
    #expect(abs(correlation / (10_000 * 8_333_333)) < 0.04)
  }

  @Test(arguments: [1, 3])
  func theLoaderGivesWhatTheRecipeSays(threads: Int) throws {
    let data = Dataset.glyphs(seed: 5)
    let loader = BatchLoader(data, batchSize: 7, seed: 9, cursor: 21, mirrors: true, depth: 3, threads: threads)
    for step in 3..<30 {
      let batch = try loader.next(), plain = try loader.recipe.batch(at: step * 7)
      #expect(batch.x0 == plain.x0 && batch.labels == plain.labels && batch.cursor == 7 * step)
    }
    #expect(loader.cursor == 210)
  }

  @Test func pixelsAreScaledAndMirroredByCursorAlone() throws {
    struct Ramp: ImageSource {
      var count: Int { 64 }
      var shape: ImageShape { ImageShape(channels: 3, height: 1, width: 2) }
      func load(_ index: Int) -> Example {
        Example(pixels: [0, 255, UInt8(index), 200, 51, 102], label: Int32(index))
      }
    }
    let data = Dataset(Ramp(), name: "ramp", format: "test")
    let recipe = BatchRecipe(data, batchSize: 64, seed: 3, mirrors: true)
    let batch = try recipe.batch(at: 0)
    var mirrored = 0
    for n in 0..<64 {
      let x = Array(batch.x0[6 * n..<6 * n + 6])
      let index = Float(batch.labels[n]) / 127.5 - 1
      let upright: [Float] = [-1, 1, index, 200 / 127.5 - 1, 51 / 127.5 - 1, 102 / 127.5 - 1]
      let other = [1, -1, upright[3], index, upright[5], upright[4]]
      #expect(x == upright || x == other)
      if x == other { mirrored += 1 }
    }
    #expect((16...48).contains(mirrored))
    #expect(Set(batch.labels).count == 64, "an epoch shows every image once")
    // Other batch sizes cut the same sequence elsewhere.
    let pieces = BatchRecipe(data, batchSize: 16, seed: 3, mirrors: true)
    #expect(try (0..<4).flatMap { try pieces.batch(at: 16 * $0).x0 } == batch.x0)
  }

  @Test func bytesSurviveTheModelsNumbers() {
    for byte in 0...255 as ClosedRange<UInt8> { #expect(PixelScale.byte(PixelScale.x0(byte)) == byte) }
    #expect(PixelScale.byte(.nan) == 0 && PixelScale.byte(7) == 255 && PixelScale.byte(-.infinity) == 0)
    let image = pattern(width: 5, height: 4, channels: 3)
    #expect(image.shape.images(x0: image.x0 + image.x0) == [image, image])
  }

  /// Of processes under AddressSanitizer that do only what this guards, one in ten once broke: glibc's allocator, unused so far, was set up twice.
  @Test func threadsMayOpenDataAtOnce() {
    let (ready, refused) = (Monitor(0), Monitor(0))
    let threads = (0..<2).compactMap { _ in
      WorkerThread {
        ready.change { $0 += 1 }
        while ready.current < 2 {}
        if (try? Dataset.open("glyphs", imageSize: 0)) == nil { refused.change { $0 += 1 } }
      }
    }
    #expect(threads.count == 2)
    for thread in threads { thread.join() }
    #expect(refused.current == 2)
  }

  @Test func errorsArriveAtTheirBatch() throws {
    struct Flaky: ImageSource {
      var count: Int { 10 }
      var isEndless: Bool { true }
      var shape: ImageShape { ImageShape(channels: 1, height: 1, width: 1) }
      func load(_ index: Int) throws -> Example {
        if index == 5 { throw DataError(.corrupt, file: "five.png", "damaged") }
        return Example(pixels: [UInt8(index)], label: 0)
      }
    }
    let loader = BatchLoader(Dataset(Flaky(), name: "flaky", format: "test"), batchSize: 2, seed: 0)
    _ = try loader.next()
    _ = try loader.next()
    for _ in 0..<2 {
      let error = #expect(throws: DataError.self) { try loader.next() }
      #expect(error?.file == "five.png")
      #expect(loader.cursor == 4)
    }
  }
}
