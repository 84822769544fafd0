// `import DDPM` brings everything that a user of the library needs: the modules below it, and a backend for the processor.
@_exported import CPUBackend
@_exported import Datasets
@_exported import Diffusers
@_exported import Diffusion
@_exported import Files
@_exported import Networks
@_exported import Pictures
@_exported import Ranks
@_exported import TensorGraph
