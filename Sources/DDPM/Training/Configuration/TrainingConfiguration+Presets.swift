extension TrainingConfiguration {
  /// Recipes by name.
  public enum Preset: String, CaseIterable, Sendable {
    /// The embedded characters in a few minutes on two cores.
    case glyphs
    /// Digits of MNIST (or Fashion-MNIST) in about half an hour on two cores.
    case mnist
    /// The paper's CIFAR-10: 35.7 million parameters, 800,000 steps.
    case cifar10
    /// Photographs at 64×64 with a network for a patient laptop.
    case small
    /// Points of the plane, or of a file, in seconds.
    case plane

    /// What it is for and how long it takes, in a few words.
    public var summary: String {
      switch self {
      case .glyphs: "the embedded characters, 28×28: minutes on two cores"
      case .mnist: "MNIST's digits: half an hour on two cores"
      case .cifar10: "the paper's CIFAR-10: 35.7 million parameters, 800,000 steps"
      case .small: "your own pictures at 64×64, 11 million parameters"
      case .plane: "points (moons, gaussians, swiss_roll, checkerboard, spiral, a CSV): seconds"
      }
    }
  }

  /// The recipe's values, and the defaults for what it does not say.
  public init(_ preset: Preset) {
    self.init()
    switch preset {
    case .glyphs:
      data = "glyphs"
      // With classes a small network needs not guess which character it draws, and a grid shows them in order.
      classes = true
      // After a few hundred steps samples are clean where those of ε are still grainy and grey.
      prediction = .velocity
      // Half the work of the digits' network: so small, it is learned sooner.
      blockOutChannels = [16, 32, 64]
      normGroups = 8
      // As few as guided samples can be read after.
      steps = 700
      batchSize = 32
      learningRate = 3e-3
      warmupSteps = 50
      decay = .cosine
      emaDecay = 0.995
      checkpointEvery = 200
      sampleEvery = 200
      sampleSteps = 20
    case .mnist:
      data = "mnist"
      blockOutChannels = [32, 64, 64]
      steps = 8000
      batchSize = 64
      learningRate = 1e-3
      warmupSteps = 200
      decay = .cosine
      emaDecay = 0.999
      checkpointEvery = 500
      sampleEvery = 500
    case .cifar10:
      // Ho et al. 2020, appendix B.
      data = "cifar10"
      flip = true
      blockOutChannels = [128, 256, 256, 256]
      layersPerBlock = 2
      attentionResolutions = [16]
      dropout = 0.1
      steps = 800_000
      batchSize = 128
      accumulate = 16
      learningRate = 2e-4
      warmupSteps = 5000
      emaDecay = 0.9999
      emaWarmup = false
      checkpointEvery = 5000
      sampleEvery = 5000
      logEvery = 100
    case .small:
      data = "images"
      imageSize = 64
      blockOutChannels = [64, 128, 128, 256]
      attentionResolutions = [16, 8]
      dropout = 0.1
      betaSchedule = .cosine
      steps = 200_000
      batchSize = 32
      learningRate = 2e-4
      warmupSteps = 1000
      checkpointEvery = 2000
      sampleEvery = 2000
    case .plane:
      data = "moons"
      // The paper's first weights, near zero in the last layers, would take their time.
      initialization = .diffusers
      // The network is too small for threads to share.
      threads = 1
      steps = 3000
      batchSize = 256
      learningRate = 2e-3
      warmupSteps = 100
      decay = .cosine
      emaDecay = 0.995
      logEvery = 500
      checkpointEvery = 3000
    }
  }
}
