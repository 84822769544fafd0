import TensorGraph
import Threads

/// Another backend as if it were an accelerator: its tensors stay there until they are asked for, and it counts what comes and goes.
public final class DistantBackend: Backend {
  public struct Counts: Sendable {
    public var programs = 0
    public var readings = 0
  }

  public let name = "distant"
  public var arithmetic: String { near.arithmetic }
  public let isAsynchronous = true
  private let near: any Backend
  private let failsAfter: Int
  private let state = Monitor(Counts())

  /// - Parameter failsAfter: Readings that succeed.
  public init(_ near: any Backend, failsAfter: Int = .max) { (self.near, self.failsAfter) = (near, failsAfter) }

  public var counts: Counts { state.current }

  public func makeStates(for programs: [Program]) throws -> any States { try near.makeStates(for: programs) }

  public func compile(_ program: Program, states: any States) throws -> any Executable {
    state.change { $0.programs += 1 }
    return DistantExecutable(try near.compile(program, states: states), self)
  }

  fileprivate func read() throws {
    let count = state.change { state in
      state.readings += 1
      return state.readings
    }
    if count > failsAfter { throw Lost() }
  }

  /// The device is gone.
  public struct Lost: Error {}
}

private final class DistantExecutable: Executable {
  private let near: any Executable
  private let backend: DistantBackend

  init(_ near: any Executable, _ backend: DistantBackend) { (self.near, self.backend) = (near, backend) }

  var program: Program { near.program }
  var states: any States { near.states }
  var memoryPlan: MemoryPlan { near.memoryPlan }

  func run(onDevice inputs: [String: any DeviceTensor]) throws -> [String: any DeviceTensor] {
    let given = try inputs.mapValues { try ($0 as? DistantTensor)?.near ?? $0.data() }
    return try near.run(given).mapValues { DistantTensor(near: $0, backend: backend) }
  }
}

private final class DistantTensor: DeviceTensor {
  let near: TensorData
  private let backend: DistantBackend
  var type: TensorType { near.type }

  init(near: TensorData, backend: DistantBackend) { (self.near, self.backend) = (near, backend) }

  func data() throws -> TensorData {
    try backend.read()
    return near
  }
}
