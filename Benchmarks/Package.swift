// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "Benchmarks",
  dependencies: [.package(name: "swift-ddpm", path: "..")],
  targets: [
    .executableTarget(name: "ddpm-bench", dependencies: [.product(name: "DDPM", package: "swift-ddpm")]),
    .executableTarget(name: "xla-check", dependencies: [.product(name: "DDPM", package: "swift-ddpm")]),
  ]
)
