import Diffusion
import TensorGraph

/// The equations of diffusion on graph tensors: a coefficient is a tensor too, one number for each sample (N, 1, 1, 1).
extension Tensor: LinearSpace {
  public typealias Coefficient = Tensor
}
