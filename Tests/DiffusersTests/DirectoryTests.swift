import Diffusers
import Files
import Networks
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct PipelineDirectoryTests {
  static let names = ["cifar10-thin", "mnist", "classes", "learned-range"]
  static let files = [
    "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors",
    "scheduler/scheduler_config.json",
  ]

  /// diffusers wrote these directories: load → save must give the same bytes, and again.
  @Test(.needsShared, arguments: names)
  func rewritesDiffusersDirectoryUnchanged(name: String) throws {
    let source = try SharedFiles.url("reference/pipelines/\(name)")
    try withTemporaryFolder { directory in
      var last = source
      for copy in ["first", "second"] {
        let (pipeline, weights) = try PipelineDirectory.open(last)
        let next = directory.appending(path: copy)
        let tensors = try weights.tensors.map {
          NamedTensor($0.name, shape: $0.shape, floats: try weights.floats($0.name))
        }
        try pipeline.write(tensors, to: next)
        for file in Self.files {
          #expect(
            try Data(contentsOf: next.appending(path: file)) == Data(contentsOf: source.appending(path: file)),
            "\(copy) \(file)")
        }
        last = next
      }
    }
  }

  @Test(.needsShared) func readsTheFlatLayout() throws {
    let source = try SharedFiles.url("reference/pipelines/learned-range")
    try withTemporaryFolder { directory in
      for file in Self.files.dropFirst() {
        let name = file.split(separator: "/")[1]
        try FileManager.default.copyItem(
          at: source.appending(path: file), to: directory.appending(path: String(name)))
      }
      let (flat, flatWeights) = try PipelineDirectory.open(directory)
      let (nested, nestedWeights) = try PipelineDirectory.open(source)
      #expect(flat.network as? UNetConfig == nested.network as? UNetConfig)
      #expect(flat.networkJSON == nested.networkJSON && flat.schedulerJSON == nested.schedulerJSON)
      #expect(flat.modelIndex == nested.modelIndex && flat.card == nested.card)
      #expect(flatWeights.tensors == nestedWeights.tensors)
    }
  }

  // MARK: Configuration

  @Test func absentKeysTakeDiffusersDefaults() throws {
    let config = try UNetConfig(json: [:])
    #expect(config == UNetConfig())
    #expect(config.blockOutChannels == [224, 448, 672, 896])
    #expect(config.attentionHeadChannels == 8)
    #expect(config.cosinesFirst)
    #expect(config.normEpsilon == 1e-5)
  }

  /// `google/ddpm-cifar10-32` as it was published, by diffusers 0.0.4.
  @Test func readsThePapersConfiguration() throws {
    let json = try JSONValue(
      parsing: """
        {"_class_name": "UNet2DModel", "_diffusers_version": "0.0.4", "act_fn": "silu", "attention_head_dim": null,
         "block_out_channels": [128, 256, 256, 256], "center_input_sample": false,
         "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
         "downsample_padding": 0, "flip_sin_to_cos": false, "freq_shift": 1, "in_channels": 3, "layers_per_block": 2,
         "mid_block_scale_factor": 1, "norm_eps": 1e-06, "norm_num_groups": 32, "out_channels": 3, "sample_size": 32,
         "time_embedding_type": "positional",
         "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"]}
        """)
    #expect(try UNetConfig(json: #require(json.object)) == .paperCIFAR10)
  }

  @Test func everyValueSurvivesAndUnknownKeysAreKept() throws {
    var config = UNetConfig()
    config.sampleSize = .init(height: 32, width: 48)
    config.inChannels = 1
    config.outChannels = 2
    config.centerInputSample = true
    config.downBlocks = [.resnet, .attention]
    config.upBlocks = [.attention, .resnet]
    config.hasMidBlock = false
    config.blockOutChannels = [64, 96]
    config.layersPerBlock = 3
    config.midBlockScaleFactor = 1.5
    config.downsamplePadding = 0
    config.downsampling = .resnet
    config.upsampling = .resnet
    config.dropout = 0.1
    config.activation = .mish
    config.normGroups = 16
    config.normEpsilon = 1e-6
    config.timeScaleShift = .scaleShift
    config.attentionHeadChannels = nil
    config.hasMidAttention = false
    config.attentionNormGroups = 4
    config.timeEmbedding = .fourier
    config.timeEmbeddingChannels = 100
    config.frequencyShift = 0.5
    config.cosinesFirst = false
    config.classEmbedding = .timestep
    config.numTrainTimesteps = 500
    let json = config.json(updating: ["future": [1, 2.0], "_diffusers_version": "9", "num_class_embeds": 3])
    #expect(try UNetConfig(json: json) == config)
    #expect(json["future"] == [1, 2.0])
    #expect(json["_diffusers_version"] == "9")
    #expect(json["num_class_embeds"] == 3)
    #expect(json.count == 31)
  }

  @Test(
    arguments: [
      (
        "down_block_types", ["DownBlock2D", "SkipDownBlock2D", "DownBlock2D", "DownBlock2D"], "\"SkipDownBlock2D\"",
        "AttnDownBlock2D, ResnetDownsampleBlock2D"
      ),
      ("up_block_types", ["AttnSkipUpBlock2D"], "\"AttnSkipUpBlock2D\"", "UpBlock2D, AttnUpBlock2D"),
      ("mid_block_type", "UNetMidBlock2DCrossAttn", "CrossAttn", "we have UNetMidBlock2D and null"),
      ("act_fn", "elu", "\"elu\"", "silu, swish, mish, gelu, relu"),
      ("downsample_type", "fir", "\"fir\"", "conv, resnet"),
      ("upsample_type", 3, "3", "conv, resnet"),
      ("resnet_time_scale_shift", "ada_group", "\"ada_group\"", "default, scale_shift"),
      ("time_embedding_type", "learned", "\"learned\"", "positional, fourier"),
      ("class_embed_type", "projection", "\"projection\"", "timestep, identity"),
      ("downsample_padding", 2, "2", "we have 0"),
      ("norm_num_groups", 24, "24", "groups that work: 1, 2, 4, 7, 8, 14, 16, 28, 32, 56"),
      ("norm_num_groups", 0, "0", "must be 1…"),
      ("norm_num_groups", nil, "null", "an integer"),
      ("block_out_channels", [], "empty", "128,256"),
      ("block_out_channels", [32, 64], "2 levels", "same number"),
      ("layers_per_block", 2.5, "2.5", "an integer"),
      ("attention_head_dim", 1000, "1000", "only 448 channels"),
      ("sample_size", [1, 2, 3], "[1,2,3]", "[height, width]"),
      ("dropout", 1, "1.0", "less than 1"),
      ("freq_shift", 112, "112.0", "half of that"),
    ] as [(String, JSONValue, String, String)])
  func refusesWhatWeCannotHonour(key: String, value: JSONValue, found: String, wanted: String) {
    let error = #expect(throws: PipelineError.self) { try UNetConfig(json: [key: value], file: "unet/config.json") }
    let text = error?.description ?? ""
    #expect(text.hasPrefix("unet/config.json: "))
    for part in [key, found, wanted] { #expect(text.contains(part), "\(text)") }
  }

  @Test func refusesAnotherModelClass() {
    #expect(
      throws: PipelineError.modelClass(file: "config.json", found: "UNet2DConditionModel", known: ["UNet2DModel"])
    ) {
      try UNetConfig(json: ["_class_name": "UNet2DConditionModel"])
    }
  }

  // MARK: Finding weights

  @Test func pickledWeightsComeWithTheCommandThatConvertsThem() throws {
    try withTemporaryFolder { directory in
      let unet = directory.appending(path: "unet")
      try FileManager.default.createDirectory(at: unet, withIntermediateDirectories: true)
      #expect(throws: PipelineError.self) { try PipelineDirectory.open(directory) }
      try Data("{}".utf8).write(to: unet.appending(path: "config.json"))
      let missing = #expect(throws: PipelineError.self) { try PipelineDirectory.open(directory) }
      #expect(missing?.description.contains("unet/diffusion_pytorch_model.safetensors") == true)
      try Data().write(to: unet.appending(path: "diffusion_pytorch_model.bin"))
      let pickled = #expect(throws: PipelineError.self) { try PipelineDirectory.open(directory) }
      #expect(
        pickled?.description.contains("python -c \"from diffusers import UNet2DModel as M; d = '\(unet.path)'") == true)
    }
    #expect(throws: PipelineError.notADirectory("/nowhere/at/all")) {
      try PipelineDirectory.open(URL(filePath: "/nowhere/at/all"))
    }
  }

  /// As `save_pretrained(d, max_shard_size=…)` and `variant="fp16"` name files.
  @Test(arguments: ["", ".fp16"]) func splitWeightsAreJoined(variant: String) throws {
    try withTemporaryFolder { directory in
      let unet = directory.appending(path: "unet")
      try FileManager.default.createDirectory(at: unet, withIntermediateDirectories: true)
      try Data("{}".utf8).write(to: unet.appending(path: "config.json"))
      func write(_ part: Int, _ name: String, _ value: Float) throws -> String {
        let file = "diffusion_pytorch_model\(variant)-0000\(part)-of-00002.safetensors"
        try Safetensors.write(
          [TensorSource(NamedTensor(name, shape: [2], floats: [value, -value]))], to: unet.appending(path: file),
          precision: .f16)
        return file
      }
      let (first, second) = (try write(1, "b", 1), try write(2, "a", 2))
      let index = unet.appending(path: "diffusion_pytorch_model.safetensors.index\(variant).json")
      func say(_ map: String) throws { try Data("{\"metadata\": {}, \"weight_map\": \(map)}".utf8).write(to: index) }

      try say("{\"a\": \"\(second)\", \"b\": \"\(first)\"}")
      let weights = try PipelineDirectory.open(directory).weights
      #expect(weights.tensors.map(\.name) == ["b", "a"])
      #expect(try weights.floats("a") == [2, -2] && weights.floats("b") == [1, -1])

      for wrong in ["{}", "3", "{\"a\": 1}", "{\"a\": \"../\(first)\"}", "{\"a\": \"absent.safetensors\"}"] {
        try say(wrong)
        #expect(throws: PipelineError.self, "\(wrong)") { try PipelineDirectory.open(directory) }
      }
      // One tensor in two files: which is it?
      _ = try write(2, "b", 3)
      try say("{\"a\": \"\(second)\", \"b\": \"\(first)\"}")
      #expect(throws: SafetensorsError.self) { try PipelineDirectory.open(directory) }
    }
  }

  @Test func halfPrecisionIsReadWhereNothingElseIs() throws {
    try withTemporaryFolder { directory in
      try Data("{}".utf8).write(to: directory.appending(path: "config.json"))
      func write(_ name: String, _ value: Float) throws {
        try Safetensors.write(
          [TensorSource(NamedTensor("a", shape: [1], floats: [value]))], to: directory.appending(path: name))
      }
      try write("diffusion_pytorch_model.fp16.safetensors", 1)
      #expect(try PipelineDirectory.open(directory).weights.floats("a") == [1])
      try write("diffusion_pytorch_model.safetensors", 2)
      #expect(try PipelineDirectory.open(directory).weights.floats("a") == [2])
    }
  }

  @Test func configurationErrorsNameFileAndPlace() throws {
    try withTemporaryFolder { directory in
      let config = directory.appending(path: "config.json")
      try Data("{\"a\": 1,}".utf8).write(to: config)
      #expect(
        throws: PipelineError.json(file: config.path, JSONError(offset: 8, problem: "expected a key in double quotes"))
      ) {
        try PipelineDirectory.open(directory)
      }
      try Data("[]".utf8).write(to: config)
      #expect(throws: PipelineError.notAnObject(file: config.path, kind: "an array")) {
        try PipelineDirectory.open(directory)
      }
    }
  }

  @Test func aNetworkThatIsShownPicturesHasRoomForThem() throws {
    try withTemporaryFolder { directory in
      let config = directory.appending(path: "config.json")
      try Data(#"{"_class_name": "UNet2DModel", "in_channels": 3}"#.utf8).write(to: config)
      try Data(#"{"super_resolution_scale": 2}"#.utf8).write(to: directory.appending(path: "ddpm.json"))
      let error = #expect(throws: PipelineError.self) { try PipelineDirectory(readingConfigurationOf: directory) }
      guard case .value(config.path, "in_channels", "3", _) = error else {
        Issue.record("\(String(describing: error))")
        return
      }
    }
  }

  // MARK: Names of weights

  @Test(arguments: [
    ("mid_block.attentions.0.query.weight", "mid_block.attentions.0.to_q.weight"),
    ("down_blocks.1.attentions.1.key.bias", "down_blocks.1.attentions.1.to_k.bias"),
    ("up_blocks.2.attentions.0.value.weight", "up_blocks.2.attentions.0.to_v.weight"),
    ("mid_block.attentions.0.proj_attn.bias", "mid_block.attentions.0.to_out.0.bias"),
    ("mid_block.attentions.0.group_norm.bias", "mid_block.attentions.0.group_norm.bias"),
    ("mid_block.resnets.0.key.bias", "mid_block.resnets.0.key.bias"), ("query", "query"), ("", ""),
  ])
  func oldAttentionNamesAreMapped(old: String, new: String) { #expect(WeightNames.current(old) == new) }

  @Test func everyMismatchIsListedInOneError() throws {
    let file = try SafetensorsFile(
      bytes: Safetensors.bytes([
        NamedTensor("a.attentions.0.query.weight", shape: [1], floats: [1]),
        NamedTensor("b", shape: [2], floats: [1, 2]), NamedTensor("c", shape: [1], integers: [1]),
        NamedTensor("extra", shape: [1], floats: [1]),
      ]))
    let wanted = [("a.attentions.0.to_q.weight", [1]), ("b", [1, 2]), ("c", [1]), ("d", [4]), ("e", [5])]
    let error = #expect(throws: WeightsMismatch.self) {
      try WeightNames.match(wanted.map { (name: $0.0, shape: $0.1) }, in: file)
    }
    #expect(error?.missing == ["d", "e"])
    #expect(error?.unexpected == ["extra"])
    #expect(error?.misshaped == [.init(name: "b", expected: [1, 2], found: [2])])
    #expect(error?.unreadable == ["c (I64)"])
    #expect(
      error?.description
        == "safetensors: the weights do not fit the configuration (are both from the same model?): 2 missing: d, e; "
        + "1 unexpected: 'extra'; 1 of another shape: b is [2], should be [1, 2]; 1 not of a floating type: c (I64)")
    let matched = try WeightNames.match(
      [(name: "a.attentions.0.to_q.weight", shape: [1])],
      in: SafetensorsFile(
        bytes: Safetensors.bytes([NamedTensor("a.attentions.0.query.weight", shape: [1], floats: [1])])))
    #expect(matched == ["a.attentions.0.to_q.weight": "a.attentions.0.query.weight"])
  }
}
