import Platform
import TensorGraph

/// One of the runs that an executable does side by side: its steps, and the memory in which they work. Touched by one thread at a time.
final class Lane {
  private let steps: [Step]
  private let isTimed: Bool
  private let exchange: Exchange
  private let arena: AlignedMemory
  private let scratch: AlignedMemory
  /// What the last run threw.
  private(set) var failure: (any Error)?
  /// When each step of the last run began, and when the last one ended; none where steps are not timed.
  private(set) var times: [Double] = []

  init(_ lowering: Lowering, _ planner: MemoryPlanner, isTimed: Bool) throws(ExecutionError) {
    steps = lowering.steps
    self.isTimed = isTimed
    exchange = lowering.exchange
    arena = try AlignedMemory(byteCount: planner.arenaByteCount)
    scratch = try AlignedMemory(byteCount: planner.scratchByteCount)
    planner.assign(base: arena.base)
  }

  /// Runs `derivations`, which bring what is derived from states up to date, and returns their times.
  func derive(_ derivations: [Step]) throws -> [Double] {
    try derivations.run(scratch.base, timed: isTimed)
  }

  /// Takes the inputs of the next run.
  func take(_ inputs: [String: TensorData]) { exchange.inputs = inputs }

  /// Runs the steps; `takeOutputs` and `failure` say with what result.
  func run() {
    exchange.outputs = [:]
    defer { exchange.inputs = [:] }
    do {
      times = try steps.run(scratch.base, timed: isTimed)
      failure = nil
    } catch {
      failure = error
    }
  }

  /// What the last run gave, once.
  func takeOutputs() -> [String: TensorData] {
    defer { exchange.outputs = [:] }
    return exchange.outputs
  }
}

extension [Step] {
  /// Runs them in order. Returns when each began and when the last one ended, or nothing.
  fileprivate func run(_ scratch: UnsafeMutableRawPointer, timed: Bool) throws -> [Double] {
    var times: [Double] = []
    for step in self {
      if timed { times.append(monotonicSeconds()) }
      try step.run(scratch)
    }
    if timed { times.append(monotonicSeconds()) }
    return times
  }
}

/// What crosses the boundary of a lane during one run.
final class Exchange {
  var inputs: [String: TensorData] = [:]
  var outputs: [String: TensorData] = [:]

  func copyInput(_ name: String, to target: UnsafeMutableRawPointer) {
    switch inputs[name]?.scalars {
    case .float(let floats): floats.withUnsafeBytes { copy($0, to: target) }
    case .int32(let integers): integers.withUnsafeBytes { copy($0, to: target) }
    case nil: preconditionFailure("input \(name) was checked and is missing")
    }
  }

  private func copy(_ bytes: UnsafeRawBufferPointer, to target: UnsafeMutableRawPointer) {
    if let base = bytes.baseAddress { target.copyMemory(from: base, byteCount: bytes.count) }
  }

  func takeOutput(_ name: String, _ type: TensorType, from source: UnsafeMutableRawPointer) {
    let count = type.shape.count
    switch type.dtype {
    case .float:
      let floats = UnsafeBufferPointer(start: source.floats, count: count)
      outputs[name] = TensorData(Array(floats), shape: type.shape)
    case .int32:
      let integers = UnsafeBufferPointer(start: source.assumingMemoryBound(to: Int32.self), count: count)
      outputs[name] = TensorData(Array(integers), shape: type.shape)
    }
  }
}

/// Seconds of the monotonic clock.
private func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
