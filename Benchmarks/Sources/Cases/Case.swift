import DDPM

/// A network of the benchmarks by name, and a batch for it.
public struct Case {
  public let network: UNetConfig
  public let size: SampleSize
  public let batch: Int

  /// - Parameter name: cifar10, the paper's, or mnist, the 1.1-million-parameter network of the `mnist` preset.
  public init?(_ name: some StringProtocol, batch: String) {
    guard ["cifar10", "mnist"].contains(name), let count = Int(batch), count > 0 else { return nil }
    let side = name == "mnist" ? 28 : 32
    (size, self.batch) = (SampleSize(height: side, width: side), count)
    var config = UNetConfig.paperCIFAR10
    config.sampleSize = size
    if name == "mnist" {
      (config.inChannels, config.outChannels) = (1, 1)
      config.blockOutChannels = [32, 64, 64]
      config.layersPerBlock = 1
      config.downBlocks = [.plain, .plain, .attention]
      config.upBlocks = [.attention, .plain, .plain]
    }
    network = config
  }

  /// Numbers in −1…1.
  public var images: Images {
    let shape = Images.Shape(batch, network.inChannels, size.height, size.width)
    let scalars = (0..<shape.scalarCount).map { Float(($0 &* 2_654_435_761) & 0xFFFF) / 32_768 - 1 }
    return Images(shape: shape, scalars: scalars)
  }
}
