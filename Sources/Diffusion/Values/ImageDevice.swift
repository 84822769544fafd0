import TensorGraph
import Threads

/// A backend as a place where images can be, and be computed with.
public final class ImageDevice: Sendable {
  private let backend: any Backend
  /// One program for each expression but for its numbers.
  private let compiled = Monitor<[String: any Executable]>([:])
  private let failure = Monitor<(any Error)?>(nil)

  /// The memory of a backend.
  public init(_ backend: any Backend) { self.backend = backend }

  /// Whether a batch lies in one piece: its samples can be taken apart and joined there.
  var isWhole: Bool { backend.deviceCount == 1 }
  /// Whether a batch can be divided over the backend's devices.
  func holds(_ shape: Images.Shape) -> Bool { shape.count % backend.deviceCount == 0 }

  /// - Throws: what reading images from here failed with, where they had to be read without a way to say so.
  public func check() throws {
    if let failure = failure.current { throw failure }
  }

  /// The numbers of `images`; NaN where they cannot be had, for `check()` to explain.
  func read(_ images: DeferredImages) -> [Float] {
    do { return try images.scalars() } catch {
      failure.change { $0 = $0 ?? error }
      return [Float](repeating: .nan, count: images.shape.scalarCount)
    }
  }

  func compute(_ root: DeferredImages) throws -> any DeviceTensor {
    let request = ImageProgram(root, devices: backend.deviceCount)
    let executable = try compiled.change { compiled in
      if let known = compiled[request.signature] { return known }
      let made = try backend.compile(request.program())
      compiled[request.signature] = made
      return made
    }
    guard let result = try executable.run(onDevice: request.inputs)["result"] else {
      preconditionFailure("the program declares an output named result")
    }
    return result
  }
}

/// An expression of images as a tensor program: what it computes, and with which tensors and numbers.
private struct ImageProgram {
  /// Everything but tensors and numbers: equal for expressions that one program computes.
  private(set) var signature = ""
  private(set) var inputs: [String: any DeviceTensor] = [:]
  /// Operands come before what is made of them.
  private var nodes: [(images: DeferredImages, state: DeferredImages.State)] = []
  private var places: [ObjectIdentifier: Int] = [:]
  private var numbers: [Float] = []
  private let devices: Int

  init(_ root: DeferredImages, devices: Int) {
    self.devices = devices
    add(root)
    if !numbers.isEmpty { inputs["numbers"] = TensorData(numbers, shape: [numbers.count]) }
  }

  @discardableResult
  private mutating func add(_ images: DeferredImages) -> Int {
    if let known = places[ObjectIdentifier(images)] { return known }
    let state = images.current
    var text: String
    switch state {
    case .tensor(let tensor), .read(let tensor, _):
      text = "tensor"
      inputs["x\(nodes.count)"] = tensor
    case .expression(let expression):
      let operands = expression.operands.map { add($0) }
      switch expression {
      case .sum: text = "+"
      case .difference: text = "-"
      case .product: text = "*"
      case .scaled(let c, _), .quotient(_, let c):
        if case .scaled = expression { text = "scaled" } else { text = "quotient" }
        numbers.append(c)
      case .clamped(_, let bound): text = "clamped \(bound)"
      case .samples(_, let range): text = "samples \(range)"
      case .channels(_, let range): text = "channels \(range)"
      case .joined: text = "joined"
      case .noise(let noise, let step):
        text = "noise \(noise.stream.rawValue)"
        inputs["counters\(nodes.count)"] = TensorData.counters(
          (0..<images.shape.count).map { (noise.firstSample + $0, Int(step)) })
        inputs["key\(nodes.count)"] = TensorData.key(seed: noise.seed)
      }
      text += " \(operands)"
    }
    signature += "\(images.shape) \(text)\n"
    places[ObjectIdentifier(images)] = nodes.count
    nodes.append((images, state))
    return nodes.count - 1
  }

  func program() throws -> Program {
    let builder = GraphBuilder()
    let coefficients = numbers.isEmpty ? nil : builder.input("numbers", [numbers.count])
    var used = 0
    func number() -> Tensor {
      defer { used += 1 }
      return (coefficients ?? builder.constant(0)).sliced(axis: 0, used..<used + 1)
    }
    var tensors: [Tensor] = []
    for (place, (images, state)) in nodes.enumerated() {
      let s = images.shape
      let count = s.count / devices
      guard case .expression(let expression) = state else {
        tensors.append(builder.input("x\(place)", [count, s.channels, s.height, s.width]))
        continue
      }
      let x = expression.operands.compactMap { places[ObjectIdentifier($0)].map { tensors[$0] } }
      let tensor =
        switch expression {
        case .sum: x[0] + x[1]
        case .difference: x[0] - x[1]
        case .product: x[0] * x[1]
        case .scaled: number() * x[0]
        case .quotient: x[0] / number()
        case .clamped(_, let bound): x[0].clamped(to: -bound...bound)
        case .samples(_, let range): x[0].sliced(axis: 0, range)
        case .channels(_, let range): x[0].sliced(axis: 1, range)
        case .joined: concat(x, axis: 0)
        case .noise(let noise, _):
          Tensor.gaussianNoise(
            sample: [s.channels, s.height, s.width], counters: builder.input("counters\(place)", [count, 2], .int32),
            key: builder.input("key\(place)", [2], .int32), stream: noise.stream.rawValue)
        }
      tensors.append(tensor)
    }
    if let result = tensors.last { builder.output("result", result) }
    return try builder.finish()
  }
}
