// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "Benchmarks",
  dependencies: [.package(name: "swift-ddpm", path: "..")],
  targets: [
    .target(name: "Cases", dependencies: [.product(name: "DDPM", package: "swift-ddpm")]),
    .executableTarget(name: "ddpm-bench", dependencies: ["Cases"]),
    .executableTarget(name: "xla-check", dependencies: ["Cases"]),
  ]
)
