import TensorGraph

/// Halves an image: (N, C, H, W) → (N, C, H/2, W/2).
enum Downsampler {
  /// A 3×3 convolution with stride 2.
  case convolution(Conv2D)
  /// A residual block that takes means of 2×2 pixels.
  case resnet(ResnetBlock)

  init(_ scope: ParameterScope, channels: Int, kind: UNetConfig.Resampling, config: UNetConfig) {
    switch kind {
    case .convolution:
      // The paper's code pads one row below and one column to the right only.
      let padding: Convolution.Padding =
        config.downsamplePadding == 0 ? .init(top: 0, left: 0, bottom: 1, right: 1) : .init(config.downsamplePadding)
      self = .convolution(
        Conv2D(scope["conv"], from: channels, to: channels, kernel: 3, stride: 2, padding: padding))
    case .resnet:
      self = .resnet(ResnetBlock(scope, from: channels, to: channels, settings: config.resnet, resampling: .halve))
    }
  }

  func callAsFunction(_ x: Tensor, _ given: Conditioning) -> Tensor {
    switch self {
    case .convolution(let convolution): convolution(x)
    case .resnet(let block): block(x, given)
    }
  }
}

/// Doubles an image: (N, C, H, W) → (N, C, 2H, 2W).
enum Upsampler {
  /// Every pixel repeated, then a 3×3 convolution.
  case convolution(Conv2D)
  /// A residual block that repeats pixels.
  case resnet(ResnetBlock)

  init(_ scope: ParameterScope, channels: Int, kind: UNetConfig.Resampling, config: UNetConfig) {
    switch kind {
    case .convolution: self = .convolution(Conv2D(scope["conv"], from: channels, to: channels, kernel: 3))
    case .resnet:
      self = .resnet(ResnetBlock(scope, from: channels, to: channels, settings: config.resnet, resampling: .double))
    }
  }

  func callAsFunction(_ x: Tensor, _ given: Conditioning) -> Tensor {
    switch self {
    case .convolution(let convolution): convolution(x.upsampledNearest(2))
    case .resnet(let block): block(x, given)
    }
  }
}
