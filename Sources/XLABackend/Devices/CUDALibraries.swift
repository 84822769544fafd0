import Platform

/// NVIDIA's libraries as Python's packages bring them, beside the plugin: opened by their full path, so that the plugin finds them open.
enum CUDALibraries {
  /// As JAX opens them: what others depend on first.
  private static let libraries = [
    "libcudart", "libnvrtc", "libcublasLt", "libcublas", "libnccl", "libcupti", "libnvJitLink", "libcusparse",
    "libcusolver", "libcufft",
    "libnvshmem_host", "libcudnn",
  ]

  /// Prepares the process for the plugin at `path`; before it is opened, since it reads `XLA_FLAGS` once.
  static func prepare(for path: String) {
    // SITE/jax_plugins/xla_cuda13/xla_cuda_plugin.so → SITE/nvidia
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count > 3 else { return }
    let nvidia = parts.dropLast(3).joined(separator: "/") + "/nvidia"
    let isVersion12 = parts[parts.count - 2].hasSuffix("12")
    // The packages of both versions may be there; those of 13 share a folder.
    let packages = isVersion12 ? names(in: nvidia).filter { $0 != "cu13" } : ["cu13", "nccl", "nvshmem", "cudnn"]
    let folders = packages.map { "\(nvidia)/\($0)/lib" }
    for library in libraries {
      for folder in folders {
        for file in names(in: folder) where file.hasPrefix(library + ".so.") {
          _ = dlopen("\(folder)/\(file)", RTLD_NOW | RTLD_LOCAL)
        }
      }
    }

    // `ptxas` and libdevice, without which nothing can be compiled. Where Python has no package of them, the plugin looks for a toolkit.
    let toolkit = isVersion12 ? "\(nvidia)/cuda_nvcc" : "\(nvidia)/cu13"
    let flags = getenv("XLA_FLAGS").map { String(cString: $0) } ?? ""
    guard !flags.contains("xla_gpu_cuda_data_dir"), names(in: "\(toolkit)/bin").contains("ptxas") else { return }
    setenv("XLA_FLAGS", (flags.isEmpty ? "" : flags + " ") + "--xla_gpu_cuda_data_dir=\(toolkit)", 1)
  }
}
