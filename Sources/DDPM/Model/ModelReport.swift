import Diffusers
import Files
import Networks

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What `ddpm info` says about a model: its architecture level by level, its scheduler, and the memory that it wants.
public struct ModelReport: CustomStringConvertible, Sendable {
  /// What the network is made of.
  public let config: UNetConfig
  /// What its condition means.
  public let card: ModelCard
  /// The members of `scheduler_config.json`; nil where there is none.
  public let scheduler: [String: JSONValue]?
  /// For one image.
  public let cost: UNetCost
  /// The size of the images that costs and memory are for.
  public let height, width: Int
  /// Images at a time, for ``sampling`` and ``training``.
  public let batch: Int
  /// Bytes of evaluating a batch.
  public let sampling: UNetMemory
  /// Bytes of a training step on a batch.
  public let training: UNetMemory

  /// - Parameters:
  ///   - size: Height and width; nil for the model's own `sample_size`.
  ///   - batch: Images at a time, for the memory estimates.
  /// - Throws: ``PipelineError`` where the model names no size and none is given, or errors of the configuration.
  public init(_ pipeline: PipelineDirectory, size: SampleSize? = nil, batch: Int) throws {
    guard let unet = pipeline.network as? UNetConfig else {
      throw PipelineError.modelClass(
        file: PipelineDirectory.configName, found: type(of: pipeline.network).className, known: [UNetConfig.className])
    }
    guard let size = size ?? unet.sampleSize else {
      throw PipelineError.value(
        file: PipelineDirectory.configName, key: "sample_size", found: "null", wanted: "give a size, such as --size 32")
    }
    config = unet
    card = pipeline.card
    scheduler = pipeline.schedulerJSON
    (height, width) = (size.height, size.width)
    self.batch = batch
    cost = try UNetCost(unet, height: height, width: width)
    sampling = try UNetMemory.sampling(unet, batch: batch, height: height, width: width)
    training = try UNetMemory.training(unet, batch: batch, height: height, width: width)
  }

  /// `ddpm info`: reads a model's configuration, and checks its weights against it without reading them.
  ///
  /// - Throws: What ``PipelineDirectory/open(_:)`` throws, and ``WeightsMismatch``.
  public static func report(on model: URL, size: SampleSize?, batch: Int) throws -> ModelReport {
    let (pipeline, file) = try PipelineDirectory.open(model)
    _ = try WeightNames.match(pipeline.network.parameters().map { ($0.name, $0.shape.dimensions) }, in: file)
    return try ModelReport(pipeline, size: size, batch: batch)
  }

  public var description: String { [architecture, settings, schedulerSettings, memory].joined(separator: "\n") }

  /// The same for programs; memory in bytes, operations an image.
  public var json: JSONValue {
    func bytes(_ memory: UNetMemory) -> JSONValue {
      ["states": .integer(memory.states), "activations": .integer(memory.activations)]
    }
    return [
      "network": .object(config.json(updating: [:])), "scheduler": scheduler.map { .object($0) } ?? .null,
      "channels": .integer(config.inChannels), "height": .integer(height), "width": .integer(width),
      "parameters": .integer(cost.parameters), "tensors": .integer(cost.tensors),
      "operations": .integer(cost.operations), "class_names": .array(card.classNames.map { .string($0) }),
      "null_class": card.nullClass.map { .integer($0) } ?? .null, "batch": .integer(batch),
      "sampling_memory": bytes(sampling), "training_memory": bytes(training),
    ]
  }

  // MARK: Sections

  private var architecture: String {
    let rows = cost.parts.map { part in
      [
        part.name, kind(of: part.name), part.output.map(String.init).joined(separator: "×"), Text.grouped(part.tensors),
        Text.grouped(part.parameters), megaOperations(part.operations),
      ]
    }
    let total = [
      "total", "", "", Text.grouped(cost.tensors), Text.grouped(cost.parameters), megaOperations(cost.operations),
    ]
    let header = ["part", "block", "output", "tensors", "parameters", "MFLOP an image"]
    return "UNet2DModel on images of \(config.inChannels)×\(height)×\(width)\n"
      + table([header] + rows + [total], leftAligned: 3)
  }

  private var settings: String {
    let heads = config.attentionHeadChannels.map { "heads of \($0) channels" } ?? "one head"
    return """
      residual blocks   \(config.layersPerBlock) a level, \(config.activation.rawValue), groups of norm \(config.normGroups), \
      dropout \(pythonRepr(config.dropout))
      attention         \(heads)
      time              \(config.timeEmbedding.rawValue), \(config.timeChannels) channels, \
      \(config.timeScaleShift == .shift ? "added" : "scale and shift")
      classes           \(classes)

      """
  }

  private var classes: String {
    switch config.classEmbedding {
    case nil: "none"
    case .learned(let count):
      (card.classNames.isEmpty ? "\(card.nullClass ?? count)" : list(card.classNames.map(quoted), limit: 12))
        + (card.nullClass == nil ? "" : ", and none (for guidance)")
    case .timestep: "a number, embedded as the timestep is"
    case .identity: "a vector of \(config.timeChannels) numbers"
    }
  }

  private var schedulerSettings: String {
    guard let scheduler else { return "scheduler: none\n" }
    let name = (scheduler["_class_name"]?.string ?? "unnamed").onOneLine
    let members = scheduler.filter { !$0.key.hasPrefix("_") }.sorted { $0.key < $1.key }
      .map { ($0.key.onOneLine, String($0.value.compactText.onOneLine.prefix(60))) }
    let width = members.map(\.0.count).max() ?? 0
    let lines = members.map { "  " + Text.flushLeft($0, width) + "  " + $1 }
    return "scheduler \(name)\n" + lines.joined(separator: "\n") + "\n"
  }

  private var memory: String {
    "memory at batch \(batch), about\n"
      + table(
        [
          ["", "states", "activations", "total"],
          ["sampling", mebibytes(sampling.states), mebibytes(sampling.activations), mebibytes(sampling.total)],
          ["training", mebibytes(training.states), mebibytes(training.activations), mebibytes(training.total)],
        ], leftAligned: 1)
  }

  private func kind(of part: String) -> String {
    let components = part.split(separator: ".")
    let index = components.count > 1 ? Int(components[1]) ?? 0 : 0
    return switch components[0] {
    case "down_blocks": config.downBlocks[index].rawValue
    case "up_blocks": config.upBlocks[index].rawValue
    case "mid_block": config.hasMidAttention ? "UNetMidBlock2D" : "UNetMidBlock2D without attention"
    default: ""
    }
  }
}

// MARK: - Layout

/// Columns two spaces apart, the first few flush left, the others flush right; a rule below the first row.
private func table(_ rows: [[String]], leftAligned: Int) -> String {
  let columns = rows[0].indices
  let widths = columns.map { column in rows.map { $0[column].count }.max() ?? 0 }
  var lines = rows.map { row in
    columns.map { $0 < leftAligned ? Text.flushLeft(row[$0], widths[$0]) : Text.flushRight(row[$0], widths[$0]) }
      .joined(separator: "  ").trimmingEnd()
  }
  lines.insert(String(repeating: "─", count: widths.reduce(2 * (widths.count - 1), +)), at: 1)
  return lines.joined(separator: "\n") + "\n"
}

extension String {
  fileprivate func trimmingEnd() -> String {
    var text = self
    while text.last == " " { text.removeLast() }
    return text
  }
}

private func megaOperations(_ operations: Int) -> String { tenths((operations + 50_000) / 100_000) }

private func mebibytes(_ bytes: Int) -> String { "\(tenths((bytes * 10 + (1 << 19)) >> 20)) MiB" }

private func tenths(_ number: Int) -> String { "\(Text.grouped(number / 10)).\(number % 10)" }
