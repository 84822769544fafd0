import CPUBackend
import Networks
import TensorGraph
import TestSupport
import Testing
import XLABackend

/// A whole training step: what no single operator shows.
@Suite("Training on XLA", .needsPlugin)
struct TrainingTests {
  private static let cpu = CPUBackend(.init(threads: 1))

  /// The step without dropout, ten times, as other tests compare with it. Compiled twice: the second time from the disk.
  private static let wide = Result {
    let folder = try TemporaryFolder()
    let backend = try TestPlugin.backend(cacheFolder: folder.url)
    return try (0..<2).map { _ in try TrainingStep().train(backend.compile(TrainingStep().program()), steps: 10) }
  }

  @Test func followsTheProcessor() throws {
    var step = TrainingStep()
    step.config.dropout = 0.3
    let program = try step.program()
    let (processor, accelerator) = (try Self.cpu.compile(program), try TestPlugin.backend().compile(program))
    let expected = try step.train(processor, steps: 10)
    let found = try step.train(accelerator, steps: 10)
    expect(maximumRelativeError(found.losses, expected.losses), atMost: 2e-5, "ten losses")
    expect(maximumRelativeError(found.norms, expected.norms), atMost: 2e-4, "ten norms")
    for name in ["conv_in.weight", "ema.mid_block.attentions.0.to_q.weight"] {
      let error = try relativeError(accelerator.states.read(name), processor.states.read(name))
      expect(error, atMost: 1e-3, "\(name) after ten steps")
    }
  }

  /// Bit for bit on the processor; a GPU adds in an order of its own.
  @Test func aSecondStartRepeatsTheFirst() throws {
    let runs = try Self.wide.get()
    if TestPlugin.isProcessor { #expect(runs[0] == runs[1]) }
    expect(maximumRelativeError(runs[0].losses, runs[1].losses), atMost: 1e-4, "losses of a second start")
  }

  /// 16 bits where they are meant to be, and no further: the loss follows that of 32.
  @Test func narrowProductsFollowWideOnes() throws {
    let expected = try Self.wide.get()[0]
    let program = try TrainingStep().program()
    let found = try TrainingStep().train(TestPlugin.backend(precision: .bfloat16).compile(program), steps: 10)
    expect(maximumRelativeError(found.losses, expected.losses), atMost: 0.01, "losses in bfloat16")
    expect(maximumRelativeError(found.norms, expected.norms), atMost: 0.05, "norms in bfloat16")
    #expect(found.losses != expected.losses)
  }

  /// Two devices with half of a batch each do what one does with all of it.
  @Test(.needsTwoDevices) func devicesShareABatch() throws {
    let expected = try Self.wide.get()[0]
    var half = TrainingStep()
    half.batch = 2
    let executable = try TestPlugin.backend(indices: [0, 1]).compile(half.program())
    let found = try half.train(executable, steps: 10, count: 4)
    expect(maximumRelativeError(found.losses, expected.losses), atMost: 2e-5, "losses of two devices")
    expect(maximumRelativeError(found.norms, expected.norms), atMost: 2e-4, "norms of two devices")
    let losses = try #require(try executable.run(half.inputs(step: 11, count: 4))["losses"])
    #expect(losses.shape == [4] && Set(losses.floats).count == 4)
    // Neither rows for one device nor for three.
    #expect(throws: ExecutionError.self) { try executable.run(half.inputs(step: 11, count: 3)) }
  }

  /// Another device than the first.
  @Test(.needsTwoDevices) func theSecondDeviceAlone() throws {
    let builder = GraphBuilder()
    builder.update("s", builder.state("s", [2]) + builder.input("x", [2]))
    let executable = try TestPlugin.backend(indices: [1]).compile(builder.finish())
    for _ in 0..<2 { _ = try executable.run(["x": TensorData([1, 2] as [Float], shape: [2])]) }
    #expect(try executable.states.read("s").floats == [2, 4])
    for indices in [[0, 0], [1 << 20], [-1]] {
      #expect(throws: XLAError.self, "\(indices)") { try TestPlugin.backend(indices: indices) }
    }
  }

  /// The noise has the reference's bits, those of every other backend; on a GPU, whose division is approximate, nearly.
  @Test func drawsTheReferenceNoise() throws {
    let builder = GraphBuilder()
    builder.output(
      "y",
      .gaussianNoise(
        sample: [3, 32, 32], counters: builder.input("counters", [64, 2], .int32),
        key: builder.input("key", [2], .int32), stream: RandomStream.trainingNoise.rawValue))
    let program = try builder.finish()
    let inputs = [
      "counters": TensorData((0..<128).map { Int32($0 * 7919) }, shape: [64, 2]),
      "key": TensorData([Int32(-5), 77], shape: [2]),
    ]
    let found = try #require(try TestPlugin.backend().compile(program).run(inputs)["y"]).floats
    let expected = try #require(try ReferenceBackend().compile(program).run(inputs)["y"]).floats
    #expect(found.count == 196_608)
    let others = zip(found, expected).filter { $0.bitPattern != $1.bitPattern }
    if TestPlugin.isProcessor { #expect(others.count == 0) }
    #expect(others.allSatisfy { abs($0 - $1) < 1e-6 })
  }

  /// Sampling with x on the device from step to step: the network, and the sampler's update as a program with its numbers as inputs.
  @Test func keepsImagesOnTheDevice() throws {
    let config = UNetVariant.small
    func programs() throws -> (network: Program, update: Program) {
      let network = GraphBuilder()
      let unet = try UNet(config, in: network)
      network.output(
        "ε", unet(sample: network.input("x", [2, 3, 8, 8]), timestep: network.input("t", [2])))
      let update = GraphBuilder()
      let numbers = update.input("numbers", [2])
      let (a, b) = (numbers.sliced(axis: 0, 0..<1), numbers.sliced(axis: 0, 1..<2))
      update.output("x", a * update.input("x", [2, 3, 8, 8]) + b * update.input("ε", [2, 3, 8, 8]))
      return (try network.finish(), try update.finish())
    }
    func sample(on backend: some Backend) throws -> any DeviceTensor {
      let (network, update) = try programs()
      let predict = try backend.compile(network)
      try TrainingStep().start(predict.states)
      let step = try backend.compile(update)
      var x: any DeviceTensor = TensorData((0..<384).map { Float($0 % 17) / 8 - 1 }, shape: [2, 3, 8, 8])
      for t in [900, 600, 300, 0] {
        let outputs = try predict.run(onDevice: ["x": x, "t": TensorData([Float(t), Float(t)], shape: [2])])
        let ε = try #require(outputs["ε"])
        let numbers = TensorData([0.9, -0.2] as [Float], shape: [2])
        x = try #require(try step.run(onDevice: ["x": x, "ε": ε, "numbers": numbers])["x"])
      }
      return x
    }
    let found = try sample(on: TestPlugin.backend())
    #expect(found is XLATensor)
    expect(try relativeError(found.data(), sample(on: Self.cpu).data()), atMost: 1e-5, "four steps")
  }
}
