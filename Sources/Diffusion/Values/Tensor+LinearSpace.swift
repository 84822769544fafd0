import TensorGraph

/// Graph tensors [N, C, H, W] obey the same equations; a coefficient is a tensor [N, 1, 1, 1], one value a sample.
extension Tensor: LinearSpace {
  /// [N, 1, 1, 1]: one value a sample.
  public typealias Coefficient = Tensor
}
