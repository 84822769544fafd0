import DDPM
import Diffusers
import Networks
import TestSupport
import Testing

@Suite struct PipelineReportTests {
  @Test(.needsShared) func describesAModel() throws {
    let report = try ModelReport.report(on: SharedFiles.url("reference/pipelines/classes"), size: nil, batch: 4)
    let text = report.description
    for line in [
      "UNet2DModel on images of 3×16×16", "down_blocks.1    AttnDownBlock2D  64×8×8 ", "scheduler DDPMScheduler",
      "variance_type               \"fixed_large\"", "memory at batch 4, about", "classes           10",
      "heads of 8 channels",
    ] { #expect(text.contains(line), "\(text)") }
    #expect(report.cost.parameters == 757_315)
    #expect(!text.contains(" \n"))
  }

  /// Whatever keys and values a scheduler has, they stay on their lines.
  @Test func unknownKeysAreShownAndNotObeyed() throws {
    let pipeline = PipelineDirectory(
      network: UNetVariant.small,
      scheduler: ["_class_name": "\u{1b}[2JA", "\u{9b}2Jkey\n": 1, "beta_end": "\u{202e}x"])
    let text = try ModelReport(pipeline, size: .init(height: 8, width: 8), batch: 1).description
    #expect(text.contains("scheduler \\u{1b}[2JA\n  beta_end       \"\\u{202e}x\"\n  \\u{9b}2Jkey\\n  1\n"), "\(text)")
    #expect(text.unicodeScalars.allSatisfy { $0 == "\n" || $0.properties.generalCategory != .control })
  }

  @Test func asksForASizeWhereThereIsNone() throws {
    let pipeline = PipelineDirectory(network: UNetVariant.small, scheduler: [:])
    #expect(throws: PipelineError.self) { try ModelReport(pipeline, batch: 1) }
    #expect(throws: NetworkConfigError.self) { try ModelReport(pipeline, size: .init(height: 7, width: 8), batch: 1) }
    #expect(
      try ModelReport(pipeline, size: .init(height: 6, width: 8), batch: 1).description.contains("scheduler unnamed"))
  }
}
