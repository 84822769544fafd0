import Diffusers
import Diffusion
import Files

/// A request that does not fit the model, and models that give no samples.
public enum SamplingError: Error, Equatable, Sendable, CustomStringConvertible {
  case noScheduler(String)
  case steps(Int, T: Int)
  case count(Int)
  case part(Range<Int>, of: Range<Int>)
  case batchSize(Int)
  case eta(Double)
  case etaWithout(SamplerChoice)
  case varianceWithout(SamplerChoice)
  case sigmasWithout(SamplerChoice)
  case variance(String, channels: Int, outChannels: Int)
  case noSize
  case noClasses
  case classMissing(classes: Int)
  case noNullClass
  case className(String, known: [String])
  case pictureMissing(channels: Int)
  case noPictures
  case pictureShape(String, wanted: String)
  case label(Int, classes: Int)
  case classCount(Int, samples: Int)
  case timestepCount(Int, samples: Int)
  case unsupportedClasses
  case noiseLevels
  case tooLarge(batch: Int, String)
  case noDissipation(String)
  case dissipation(String, String)
  case levels([Int], T: Int)
  case noiseNotFinite
  case notFinite(step: Int, of: Int, t: Timestep)
  case noiseShape(file: String, tensor: String, found: [Int], wanted: String)

  static let largestCount = 1_000_000
  package static let largestBatch = 65_536

  public var description: String {
    switch self {
    case .noScheduler(let path): "\(path): has no scheduler/scheduler_config.json, which says how the model was trained"
    case .steps(let steps, let T): "steps is \(steps); the model has \(T) timesteps: choose 1 to \(T)"
    case .count(let count): "count is \(count); choose 1 to \(Self.largestCount) of the first \(Self.largestCount)"
    case .part(let part, let all):
      "samples \(part.lowerBound)..<\(part.upperBound) are to be drawn, which are none of \(all.lowerBound)..<\(all.upperBound)"
    case .batchSize(let size): "the batch size is \(size); choose 1 to \(Self.largestBatch)"
    case .eta(let η): "eta is \(η); it is a fraction of the noise: choose 0 to 1"
    case .etaWithout(let method): "eta belongs to the sampler ddim, not to \(method.rawValue)"
    case .sigmasWithout(let method): "σ cannot be spaced for the sampler \(method.rawValue), which counts in t"
    case .varianceWithout(let method):
      "variance belongs to the sampler ddpm, not to \(method.rawValue)"
    case .variance(let name, let channels, let outChannels):
      "variance \(name) does not fit a network of \(channels) channels in and \(outChannels) out: "
        + "choose none, or correct variance_type in scheduler/scheduler_config.json"
    case .noSize: "the model does not say how large its images are (sample_size in unet/config.json): add it there"
    case .noClasses: "the model was trained without classes: ask for none"
    case .classMissing(let classes): "the model asks for a class, 0 to \(classes - 1), and none is given: give one"
    case .classCount(let found, let samples): "\(found) classes are given for \(samples) samples: give each its own"
    case .timestepCount(let found, let samples):
      "\(found) timesteps are given for \(samples) samples: give each its own"
    case .label(let label, let classes): "class is \(label); the model knows 0 to \(classes - 1)"
    case .noNullClass:
      "the model was trained without a null class, which guidance and sampling of no class need: train with condition dropout"
    case .className(let name, let known):
      "the model knows no class \(quoted(name)); it knows \(list(known.map(quoted), limit: 40))"
    case .pictureMissing(let channels):
      "the model is shown a picture of \(channels) channels beside each sample, and none is given: give one"
    case .noPictures: "the model is shown no pictures: ask for none"
    case .pictureShape(let found, let wanted): "the pictures have shape \(found); this model wants \(wanted)"
    case .unsupportedClasses: "class embeddings other than a learned table can be run once, but not sampled from"
    case .noiseLevels:
      "the network has a Fourier time embedding: it is told a noise level σ > 0, as score models are, not one of a chain's timesteps, so it "
        + "can be run once, but not sampled from"
    case .tooLarge(let batch, let problem): "a batch of \(batch) images is too large: take fewer at a time (\(problem))"
    case .noDissipation(let path):
      "\(path): does not keep what its steps dissipate: measure it with 'ddpm thermodynamics \(path) --data … --keep'"
        .onOneLine
    case .dissipation(let path, let problem):
      "\(path): not what a model's steps dissipate: \(problem); measure it again".onOneLine
    case .levels(let levels, let T):
      "the levels are \(list(levels.map(String.init), limit: 8)): give some of \(T)…1, falling"
    case .noiseNotFinite: "the recorded noise holds NaN or infinity: record it again"
    case .notFinite(let step, let count, let t):
      "step \(step) of \(count), at t = \(t), gave NaN or infinity: the network's output is not finite; are the weights whole, "
        + "and is the model trained with this prediction and variance?"
    case .noiseShape(let file, let tensor, let found, let wanted):
      "\(file): tensor '\(tensor)' has shape \(found); it should be \(wanted)"
    }
  }
}
