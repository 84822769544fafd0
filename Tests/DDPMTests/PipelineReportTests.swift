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

  @Test func asksForASizeWhereThereIsNone() throws {
    let pipeline = PipelineDirectory(network: UNetVariant.small, scheduler: [:])
    #expect(throws: PipelineError.self) { try ModelReport(pipeline, batch: 1) }
    #expect(throws: NetworkConfigError.self) { try ModelReport(pipeline, size: .init(height: 7, width: 8), batch: 1) }
    #expect(
      try ModelReport(pipeline, size: .init(height: 6, width: 8), batch: 1).description.contains("scheduler unnamed"))
  }
}
