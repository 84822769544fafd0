import Files
import Networks

extension UNetConfig: StoredArchitecture {
  /// `UNet2DModel`.
  public static var className: String { "UNet2DModel" }
  /// `unet`.
  public static var component: String { "unet" }
  /// `diffusers`.
  public static var library: String { "diffusers" }

  /// Reads the arguments of diffusers' `UNet2DModel`; absent keys take diffusers' defaults, unknown ones are ignored.
  ///
  /// - Parameter file: Where the object came from; for messages.
  /// - Throws: ``PipelineError`` naming a key whose value we cannot honour, and the values that we can.
  public init(json: [String: JSONValue], file: String = "config.json") throws(PipelineError) {
    self.init()
    let keys = ConfigReader(object: json, file: file)
    if let name = try keys.optional("_class_name", \.string, "a string"), name != Self.className {
      throw .modelClass(file: file, found: name, known: [Self.className])
    }

    sampleSize = try keys.sampleSize()
    try keys.read("in_channels", into: &inChannels, \.integer, "an integer")
    try keys.read("out_channels", into: &outChannels, \.integer, "an integer")
    try keys.read("center_input_sample", into: &centerInputSample, \.bool, "true or false")

    // diffusers, too, takes UNetResDownBlock2D for DownBlock2D.
    let withoutPrefix = { (name: String) in name.hasPrefix("UNetRes") ? String(name.dropFirst(7)) : name }
    downBlocks = try keys.cases("down_block_types", default: downBlocks, rename: withoutPrefix)
    upBlocks = try keys.cases("up_block_types", default: upBlocks, rename: withoutPrefix)
    if let middle = json["mid_block_type"] {
      guard middle.isNull || middle == "UNetMidBlock2D" else {
        throw keys.error("mid_block_type", "we have UNetMidBlock2D and null")
      }
      hasMidBlock = !middle.isNull
    }
    try keys.read("block_out_channels", into: &blockOutChannels, \.integers, "a list of integers")
    try keys.read("layers_per_block", into: &layersPerBlock, \.integer, "an integer")
    try keys.read("mid_block_scale_factor", into: &midBlockScaleFactor, \.double, "a number")
    try keys.read("downsample_padding", into: &downsamplePadding, \.integer, "an integer")
    // diffusers takes null for "conv" here.
    downsampling = try keys.optionalCase("downsample_type", orNull: true) ?? .convolution
    upsampling = try keys.optionalCase("upsample_type", orNull: true) ?? .convolution

    try keys.read("dropout", into: &dropout, \.double, "a number")
    activation = try keys.optionalCase("act_fn", rename: { $0.lowercased() }) ?? activation
    try keys.read("norm_num_groups", into: &normGroups, \.integer, "an integer")
    try keys.read("norm_eps", into: &normEpsilon, \.double, "a number")
    timeScaleShift = try keys.optionalCase("resnet_time_scale_shift") ?? timeScaleShift
    if json["attention_head_dim"] != nil {
      attentionHeadChannels = try keys.optional("attention_head_dim", \.integer, "an integer or null")
    }
    try keys.read("add_attention", into: &hasMidAttention, \.bool, "true or false")
    attentionNormGroups = try keys.optional("attn_norm_num_groups", \.integer, "an integer or null")

    timeEmbedding = try keys.optionalCase("time_embedding_type") ?? timeEmbedding
    timeEmbeddingChannels = try keys.optional("time_embedding_dim", \.integer, "an integer or null")
    try keys.read("freq_shift", into: &frequencyShift, \.double, "a number")
    try keys.read("flip_sin_to_cos", into: &cosinesFirst, \.bool, "true or false")
    classEmbedding = try keys.classEmbedding()
    numTrainTimesteps = try keys.optional("num_train_timesteps", \.integer, "an integer or null")

    do { try validate() } catch { throw .config(file: file, error.description) }
  }

  /// The object that diffusers writes for this network.
  ///
  /// - Parameter loaded: What it was read from; keys that we do not know are kept.
  public func json(updating loaded: [String: JSONValue] = [:]) -> [String: JSONValue] {
    func integer(_ value: Int?) -> JSONValue { value.map { .integer($0) } ?? .null }
    // diffusers' own defaults for these keys are integers, and it writes what it was given.
    func integerIfWhole(_ value: Double) -> JSONValue { Int(exactly: value).map { .integer($0) } ?? .number(value) }

    var json = loaded
    json["_class_name"] = "UNet2DModel"
    json["_diffusers_version"] = loaded["_diffusers_version"] ?? .string(PipelineDirectory.diffusersVersion)
    json["sample_size"] =
      sampleSize.map { size in
        size.height == size.width ? .integer(size.height) : [.integer(size.height), .integer(size.width)]
      } ?? .null
    json["in_channels"] = integer(inChannels)
    json["out_channels"] = integer(outChannels)
    json["center_input_sample"] = .bool(centerInputSample)

    json["down_block_types"] = .array(downBlocks.map { .string($0.rawValue) })
    json["up_block_types"] = .array(upBlocks.map { .string($0.rawValue) })
    json["mid_block_type"] = hasMidBlock ? "UNetMidBlock2D" : .null
    json["block_out_channels"] = .array(blockOutChannels.map { .integer($0) })
    json["layers_per_block"] = integer(layersPerBlock)
    json["mid_block_scale_factor"] = integerIfWhole(midBlockScaleFactor)
    json["downsample_padding"] = integer(downsamplePadding)
    json["downsample_type"] = .string(downsampling.rawValue)
    json["upsample_type"] = .string(upsampling.rawValue)

    json["dropout"] = .number(dropout)
    json["act_fn"] = .string(activation.rawValue)
    json["norm_num_groups"] = integer(normGroups)
    json["norm_eps"] = .number(normEpsilon)
    json["resnet_time_scale_shift"] = .string(timeScaleShift.rawValue)
    json["attention_head_dim"] = integer(attentionHeadChannels)
    json["add_attention"] = .bool(hasMidAttention)
    json["attn_norm_num_groups"] = integer(attentionNormGroups)

    json["time_embedding_type"] = .string(timeEmbedding.rawValue)
    json["time_embedding_dim"] = integer(timeEmbeddingChannels)
    json["freq_shift"] = integerIfWhole(frequencyShift)
    json["flip_sin_to_cos"] = .bool(cosinesFirst)
    switch classEmbedding {
    case nil: (json["class_embed_type"], json["num_class_embeds"]) = (.null, .null)
    case .learned(let count): (json["class_embed_type"], json["num_class_embeds"]) = (.null, .integer(count))
    case .timestep:
      (json["class_embed_type"], json["num_class_embeds"]) = ("timestep", loaded["num_class_embeds"] ?? .null)
    case .identity:
      (json["class_embed_type"], json["num_class_embeds"]) = ("identity", loaded["num_class_embeds"] ?? .null)
    }
    json["num_train_timesteps"] = integer(numTrainTimesteps)
    return json
  }
}

extension ConfigReader {
  fileprivate func sampleSize() throws(PipelineError) -> SampleSize? {
    try optional(
      "sample_size",
      { value in
        if let side = value.integer { return .init(height: side, width: side) }
        guard let sides = value.integers, sides.count == 2 else { return nil }
        return .init(height: sides[0], width: sides[1])
      }, "an integer, [height, width] or null")
  }

  fileprivate func classEmbedding() throws(PipelineError) -> UNetConfig.ClassEmbedding? {
    let count = try optional("num_class_embeds", \.integer, "an integer or null")
    switch try optional("class_embed_type", \.string, "a string or null") {
    case nil: return count.map { .learned(count: $0) }
    case "timestep": return .timestep
    case "identity": return .identity
    default: throw error("class_embed_type", "we have timestep, identity and null")
    }
  }
}
