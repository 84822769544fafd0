import CKernels
import TensorGraph

/// A compiled program: its steps, and the memory in which they work. All that changes is touched on the engine's thread, and during a run by
/// the thread of its lane.
public final class CPUExecutable: Executable, @unchecked Sendable {
  /// As it was given, before it was lowered to steps.
  public let program: Program
  /// The `CPUStates` that it was compiled with.
  public let states: any States
  /// Taken when it was compiled.
  public let memoryPlan: MemoryPlan
  /// The time of every step so far, where the backend profiles.
  public var profile: Profile? { EngineThread.shared.run { self.recorded } }

  private var recorded: Profile?
  private let options: CPUBackend.Options
  private let optionsOfLane: CPUBackend.Options
  private let derivations: [Step]
  private let lanes: [Lane]
  private let prepared: [AlignedMemory]

  /// - Parameter laneCount: 1 where all threads share every step; or as many as threads, each of which then runs the whole program on rows of
  ///   its own. What is derived from states they have in common.
  init(_ program: Program, _ options: CPUBackend.Options, lanes laneCount: Int, _ states: CPUStates) throws {
    try states.checkChanges(by: program)
    precondition(laneCount == 1 || program.updates.isEmpty, "a program that changes states was divided by rows")
    self.program = program
    self.options = options
    self.states = states

    var optionsOfLane = options
    optionsOfLane.threads = options.threads / laneCount
    optionsOfLane.apply()
    self.optionsOfLane = optionsOfLane
    let joined = try program.joiningProjections()
    // With AMX convolutions apply norms as they read, and nothing keeps those.
    let rewritten = options.allows(.amx) ? joined : try joined.recomputing()
    let lowerings = (0..<laneCount).map { _ in
      let lowering = Lowering(rewritten, options: optionsOfLane, states: states.storages)
      lowering.lower()
      return lowering
    }

    let first = lowerings[0]
    let planners = lowerings.map { MemoryPlanner($0.derivations + $0.steps) }
    memoryPlan = MemoryPlan(
      states: states.byteCount, prepared: first.constants.reduce(0) { $0 + $1.byteCount },
      activations: planners.reduce(0) { $0 + $1.arenaByteCount },
      unsharedActivations: planners.reduce(0) { $0 + $1.unsharedByteCount },
      scratch: planners.reduce(0) { $0 + $1.scratchByteCount })
    let (needed, available) = (memoryPlan.total - states.allocatedByteCount, AlignedMemory.availableByteCount)
    guard needed <= available else { throw ExecutionError.outOfMemory(needed: needed, available: available) }

    try states.allocate()
    prepared = try first.constants.map { try AlignedMemory(byteCount: $0.byteCount) }
    for lowering in lowerings {
      // The same program, lowered alike.
      precondition(lowering.constants.map(\.byteCount) == prepared.map(\.byteCount), "lanes differ")
      for (buffer, memory) in zip(lowering.constants, prepared) { buffer.address = memory.base }
    }
    first.fillConstants()
    derivations = first.derivations
    lanes = try zip(lowerings, planners).map { try Lane($0, $1, isTimed: options.profiles) }
    if options.profiles { recorded = Profile(derivations + first.steps, lanes: laneCount) }
  }

  /// On the engine's thread: runs of all CPU executables take turns. Inputs may have the program's rows, or as many for each lane; then
  /// outputs have them too.
  public func run(onDevice inputs: [String: any DeviceTensor]) throws -> [String: any DeviceTensor] {
    let inputs = try hostData(inputs, replicas: lanes.count)
    return try EngineThread.shared.run { [self] () throws -> [String: TensorData] in
      // Planned for as many threads as a lane has.
      optionsOfLane.apply()
      let times = try lanes[0].derive(derivations)
      options.apply()
      recorded?.record(times, from: 0, lane: nil)
      runLanes(inputs)
      if let failure = lanes.lazy.compactMap(\.failure).first { throw failure }
      for (number, lane) in lanes.enumerated() { recorded?.record(lane.times, from: derivations.count, lane: number) }
      let outputs = lanes.map { $0.takeOutputs() }
      return Dictionary(
        uniqueKeysWithValues: program.outputs.map { output in
          (output.name, TensorData(joining: outputs.compactMap { $0[output.name] }))
        })
    }
  }

  private func runLanes(_ inputs: [String: TensorData]) {
    for (number, lane) in lanes.enumerated() {
      lane.take(
        program.inputs.reduce(into: [:]) { shares, input in
          shares[input.name] = inputs[input.name]?.share(of: number, program.types[input.value])
        })
    }
    guard lanes.count > 1 else { return lanes[0].run() }
    ck_each(
      lanes.count,
      { context, number in
        guard let context else { return }
        Unmanaged<CPUExecutable>.fromOpaque(context).takeUnretainedValue().lanes[number].run()
      }, Unmanaged.passUnretained(self).toOpaque())
  }
}
