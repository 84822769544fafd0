import TensorGraph

/// One of a network's tensors: its name and shape as diffusers has them, and how it starts.
public struct Parameter: Equatable, Sendable {
  /// Such as `down_blocks.0.resnets.1.conv1.weight`.
  public let name: String
  /// Convolutions are (out, in, height, width), linear maps (out, in).
  public let shape: Shape
  /// What it does, which decides its first value.
  public let role: Role
  /// Whether training changes it. Only the random frequencies of a Fourier time embedding are fixed.
  public var isTrained: Bool { role != .frequencies }

  /// What the tensor does, which decides how it is initialised.
  public enum Role: Equatable, Sendable {
    /// A convolution's kernel or a linear map's matrix. `last` marks the last one before a residual sum or the output, which the
    /// paper's code starts near zero.
    case weight(last: Bool)
    /// The bias of a map from `fanIn` values.
    case bias(fanIn: Int)
    case normScale, normShift
    case embedding
    case frequencies
  }
}

/// Where layers find their parameters: a place in the tree of names, and the graph in which the tensors are states.
public struct ParameterScope {
  /// What all scopes of one network share.
  public final class Collector {
    let builder: GraphBuilder
    let prefix: String
    fileprivate(set) var parameters: [(parameter: Parameter, tensor: Tensor)] = []
    fileprivate var dropouts: UInt32 = 0

    /// - Parameter prefix: put before the names of the states.
    public init(builder: GraphBuilder, prefix: String) {
      self.builder = builder
      self.prefix = prefix
    }
  }

  let collector: Collector
  let path: String

  /// The root of a network's names.
  public init(_ collector: Collector) { (self.collector, path) = (collector, "") }

  private init(_ collector: Collector, path: String) { (self.collector, self.path) = (collector, path) }

  /// The scope of the part `name`.
  public subscript(_ name: String) -> ParameterScope {
    ParameterScope(collector, path: path.isEmpty ? name : "\(path).\(name)")
  }

  /// The scope of element `index` of the list `name`.
  public subscript(_ name: String, _ index: Int) -> ParameterScope { self["\(name).\(index)"] }

  /// Declares a parameter of this scope's layer.
  public func parameter(_ name: String, _ shape: Shape, _ role: Parameter.Role) -> Tensor {
    let parameter = Parameter(name: "\(path).\(name)", shape: shape, role: role)
    let tensor = collector.builder.state(collector.prefix + parameter.name, shape)
    collector.parameters.append((parameter, tensor))
    return tensor
  }

  /// What has been declared so far, in order, in every scope of the network.
  public var parameters: [(parameter: Parameter, tensor: Tensor)] { collector.parameters }

  /// A number for each dropout layer of the network, from 0.
  public func nextDropout() -> UInt32 {
    defer { collector.dropouts += 1 }
    return collector.dropouts
  }
}
