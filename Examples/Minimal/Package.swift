// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "Minimal",
  dependencies: [.package(name: "swift-ddpm", path: "../..")],
  targets: [
    .executableTarget(name: "Minimal", dependencies: [.product(name: "DDPM", package: "swift-ddpm")])
  ]
)
