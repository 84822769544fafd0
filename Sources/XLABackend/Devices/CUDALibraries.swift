#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// NVIDIA's libraries as Python's packages bring them, beside the plugin: opened by their full path, so that the plugin finds them open.
enum CUDALibraries {
  /// As JAX opens them: what others depend on first.
  private static let names = [
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
    let version = parts[parts.count - 2].hasSuffix("12") ? "12" : "13"
    let packages = version == "13" ? ["cu13", "nccl", "nvshmem", "cudnn"] : folders(in: nvidia)
    let files = packages.flatMap { package in
      folders(in: "\(nvidia)/\(package)/lib").map { (name: $0, path: "\(nvidia)/\(package)/lib/\($0)") }
    }
    for name in names {
      for file in files where file.name.hasPrefix(name + ".so.") { _ = dlopen(file.path, RTLD_NOW | RTLD_LOCAL) }
    }

    // `ptxas` and libdevice, without which nothing can be compiled.
    let toolkit = version == "13" ? "\(nvidia)/cu13" : "\(nvidia)/cuda_nvcc"
    let flags = getenv("XLA_FLAGS").map { String(cString: $0) } ?? ""
    guard !flags.contains("xla_gpu_cuda_data_dir"), !folders(in: toolkit).isEmpty else { return }
    setenv("XLA_FLAGS", (flags.isEmpty ? "" : flags + " ") + "--xla_gpu_cuda_data_dir=\(toolkit)", 1)
  }

  private static func folders(in folder: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
  }
}
