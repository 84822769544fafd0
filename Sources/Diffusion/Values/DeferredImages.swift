import TensorGraph
import Threads

/// Images that live on a device, or will: a remembered expression, computed there when the numbers are wanted. So a sampler's step, whichever
/// it is, becomes one small program between two runs of the network, and x never comes to the host on the way.
final class DeferredImages: Sendable {
  /// What was asked for. Coefficients are inputs of the program that computes it, so that steps differ in numbers alone.
  enum Expression: Sendable {
    case sum(DeferredImages, DeferredImages)
    case difference(DeferredImages, DeferredImages)
    case product(DeferredImages, DeferredImages)
    case scaled(Float, DeferredImages)
    case quotient(DeferredImages, Float)
    case clamped(DeferredImages, to: Double)
    case samples(DeferredImages, Range<Int>)
    case channels(DeferredImages, Range<Int>)
    case joined([DeferredImages])
    case noise(CounterNoise, step: UInt32)

    var operands: [DeferredImages] {
      switch self {
      case .sum(let a, let b), .difference(let a, let b), .product(let a, let b): [a, b]
      case .scaled(_, let x), .quotient(let x, _), .clamped(let x, _), .samples(let x, _), .channels(let x, _): [x]
      case .joined(let parts): parts
      case .noise: []
      }
    }
  }

  enum State: Sendable {
    case expression(Expression)
    case tensor(any DeviceTensor)
    /// Also on the host.
    case read(any DeviceTensor, [Float])
  }

  let shape: Images.Shape
  let device: ImageDevice
  private let state: Monitor<State>

  init(_ state: State, _ shape: Images.Shape, on device: ImageDevice) {
    self.shape = shape
    self.device = device
    self.state = Monitor(state)
  }

  var current: State { state.current }

  /// The images on the device, computed where that was not done before.
  func tensor() throws -> any DeviceTensor {
    switch current {
    case .tensor(let tensor), .read(let tensor, _): return tensor
    case .expression:
      let tensor = try device.compute(self)
      state.change { $0 = .tensor(tensor) }
      return tensor
    }
  }

  /// The numbers on the host.
  func scalars() throws -> [Float] {
    if case .read(_, let scalars) = current { return scalars }
    let tensor = try tensor()
    let scalars = try tensor.data().floats
    state.change { $0 = .read(tensor, scalars) }
    return scalars
  }
}
