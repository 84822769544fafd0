import TensorGraph

/// A network in a graph: parameters that are declared as states, and operators that each call adds.
///
/// A value holds no numbers. Calling it again shares the parameters.
public protocol Network {
  /// Every parameter with its tensor in the graph, in the order of the network's files.
  var parameters: [(parameter: Parameter, tensor: Tensor)] { get }

  /// Adds the network to the graph.
  ///
  /// - Parameters:
  ///   - xt: noisy samples [N, C, H, W]; points of the plane are [N, 2, 1, 1].
  ///   - t: (N) of either type, counted as the network was trained: diffusers counts 0…T−1.
  ///   - condition: what the architecture asks for, and nothing else.
  ///   - dropout: where random numbers come from in training; nil switches dropout off.
  /// - Returns: [N, C′, H, W] with the architecture's output channels.
  func callAsFunction(_ xt: Tensor, t: Tensor, given condition: NetworkCondition, dropout: DropoutSource?) -> Tensor
}

extension Network {
  /// The parameters that have gradients.
  public var trained: [(parameter: Parameter, tensor: Tensor)] { parameters.filter(\.parameter.isTrained) }
}

/// What a network is given beside x_t and t.
public struct NetworkCondition {
  /// Rows of the class table, (N) integers.
  public var classLabels: Tensor?
  /// Pictures that the network sees beside x_t, [N, C″, H, W].
  public var pictures: Tensor?

  /// What the architecture asks for and nothing else: nil for what it does not.
  public init(classLabels: Tensor? = nil, pictures: Tensor? = nil) {
    self.classLabels = classLabels
    self.pictures = pictures
  }
}

/// What a network is made of: all that training, sampling and evaluation know of it.
///
/// To add a network, write a configuration that conforms, and teach `Diffusers` to read and write it.
public protocol Architecture: Sendable {
  /// Channels of x_t.
  var channels: Int { get }
  /// Channels of pictures that are shown beside it.
  var pictureChannels: Int { get }
  /// Channels of the output: twice x_t's where the variance is learned.
  var outChannels: Int { get }
  /// Height and width that it was made for; nil where nothing says.
  var sampleSize: SampleSize? { get }
  /// Rows of the class table; nil for a network that asks for no class.
  var classRows: Int? { get }
  /// Whether it drops values in training.
  var hasDropout: Bool { get }

  /// Checks that samples of this size come out as they went in.
  ///
  /// - Throws: an error naming sizes that work.
  func validate(height: Int, width: Int) throws

  /// Declares the parameters in a graph.
  ///
  /// - Parameter prefix: put before the names of the states, so that one graph can hold a network and its average.
  /// - Throws: where the configuration makes no network.
  func declare(in builder: GraphBuilder, prefix: String) throws -> any Network
}

extension Architecture {
  /// 0: no pictures.
  public var pictureChannels: Int { 0 }
  /// False: nothing is dropped.
  public var hasDropout: Bool { false }

  /// Names, shapes and roles of all parameters, without a graph.
  ///
  /// - Throws: where the configuration makes no network.
  public func parameters() throws -> [Parameter] {
    try declare(in: GraphBuilder(), prefix: "").parameters.map(\.parameter)
  }

  /// The program of one evaluation: inputs `sample`, `timestep` and, where they apply, `class_labels` and `pictures`; output `output`.
  ///
  /// - Throws: where the configuration or the size makes no network, and `ProgramError` where a tensor is too large.
  public func evaluation(batchSize: Int, size: SampleSize, prefix: String = "") throws -> Program {
    let builder = GraphBuilder()
    let network = try declare(in: builder, prefix: prefix)
    let output = network(
      builder.input("sample", [batchSize, channels, size.height, size.width]),
      t: builder.input("timestep", [batchSize]),
      given: inputs(in: builder, batchSize: batchSize, size: size), dropout: nil)
    builder.output("output", output)
    return try builder.finish()
  }

  /// The condition that the network asks for, as inputs of a graph.
  public func inputs(in builder: GraphBuilder, batchSize: Int, size: SampleSize) -> NetworkCondition {
    NetworkCondition(
      classLabels: classRows == nil ? nil : builder.input("class_labels", [batchSize], .int32),
      pictures: pictureChannels == 0
        ? nil : builder.input("pictures", [batchSize, pictureChannels, size.height, size.width]))
  }
}

/// Height and width of samples.
public struct SampleSize: Equatable, Hashable, Sendable, CustomStringConvertible {
  /// In pixels; 1 for points.
  public var height, width: Int

  /// Not checked: `Architecture.validate(height:width:)` says what works.
  public init(height: Int, width: Int) {
    self.height = height
    self.width = width
  }

  public var description: String { "\(height)×\(width)" }
}

/// A network that cannot be built, and why.
public struct NetworkConfigError: Error, Equatable, Sendable, CustomStringConvertible {
  /// One line that names the quantity, its value and what would work.
  public let description: String

  /// - Parameter description: one line that names the quantity, its value and what would work.
  public init(_ description: String) { self.description = description }
}
