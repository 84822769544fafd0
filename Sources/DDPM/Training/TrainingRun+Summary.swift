import Datasets
import Networks
import Ranks
import TensorGraph

extension TrainingRun {
  func summary(_ hosts: [String]) -> TrainingSummary {
    TrainingSummary(
      data: "\(data)", parameterCount: parameterCount, backend: backend.name,
      memory: memoryPlan, hostMemory: hostMemory, firstStep: state.step, steps: configuration.steps,
      batchSize: configuration.batchSize, ranks: ranks.count, hosts: Set(hosts).count,
      parts: configuration.accumulate)
  }

  private var parameterCount: Int { ((try? network.parameters()) ?? []).reduce(0) { $0 + $1.shape.count } }

  private var memoryPlan: MemoryPlan {
    guard previews, ranks.isFirst, let network = try? previewNetwork() else { return engine.memoryPlan }
    return ranks.isShared ? engine.memoryPlan.beside(network.memoryPlan) : engine.memoryPlan.with(network.memoryPlan)
  }

  private var hostMemory: Int {
    let batches = 8 * engine.samples.count * data.shape.count * MemoryLayout<Float>.stride
    // The program, its libraries, and what the allocator keeps.
    let process = 80 << 20
    return data.heldByteCount + batches + process + engine.exchangedByteCount
  }
}
