import Diffusers

/// The samplers by name.
public typealias SamplingMethod = SamplerChoice
