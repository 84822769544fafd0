// swift-tools-version: 6.2
import PackageDescription

/// Continuous integration turns every warning into an error; a user's newer compiler may warn about more than we know.
let strict: [SwiftSetting] = Context.environment["CI"] == nil ? [] : [.treatAllWarnings(as: .error)]

/// The commit, for `ddpm --version`: said by scripts/release alone, since a manifest that is cached would say an old one.
let commit: [CSetting] = Context.environment["DDPM_COMMIT"].map { [.define("DDPM_COMMIT", to: "\"\($0)\"")] } ?? []

/// The command reads options and prints what others compute: optimised it is smaller and no faster, and takes longer to build. Releases are.
let unoptimised: [SwiftSetting] = commit.isEmpty ? [.unsafeFlags(["-Onone"])] : []

let package = Package(
  name: "swift-ddpm",
  // Linux has no such list; macOS has not been tried.
  platforms: [.macOS(.v15)],
  products: [
    .library(
      name: "DDPM",
      targets: [
        "DDPM", "CPUBackend", "XLABackend", "Diffusers", "Datasets", "Pictures", "Files", "Networks", "Diffusion",
        "TensorGraph", "Ranks",
      ]),
    .executable(name: "ddpm", targets: ["ddpm-cli"]),
  ],
  traits: [
    .trait(name: "MPI", description: "Training on several machines by the system's MPI (libopenmpi-dev).")
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0")
  ],
  targets: [
    // C libraries, each named by the Debian and the Homebrew package that bring it.
    .systemLibrary(name: "CArchive", providers: [.apt(["libarchive-dev"]), .brew(["libarchive"])]),
    .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),
    .systemLibrary(name: "CWebP", providers: [.apt(["libwebp-dev"]), .brew(["webp"])]),
    .systemLibrary(name: "CGIF", providers: [.apt(["libgif-dev"]), .brew(["giflib"])]),

    // PNG and JPEG (libpng-dev, libjpeg-dev): C, because their errors longjmp, which must not cross Swift frames.
    .target(name: "CCodecs", linkerSettings: [.linkedLibrary("png"), .linkedLibrary("jpeg")]),

    // C kernels, with run-time SIMD dispatch.
    .target(
      name: "CKernels", linkerSettings: [.linkedLibrary("m"), .linkedLibrary("gomp", .when(platforms: [.linux]))]),

    // What this was built from and runs on.
    .target(name: "CBuild", cSettings: commit),

    // The system's C library, by whatever name, and threads of the system.
    .target(name: "Platform", swiftSettings: strict),
    .target(name: "Threads", dependencies: ["Platform"], swiftSettings: strict),

    // Processes that work together; MPI's are empty without the trait, which needs the system's MPI.
    .target(name: "Ranks", dependencies: ["Platform", "Threads"], swiftSettings: strict),
    .systemLibrary(name: "CMPI", pkgConfig: "mpi-c", providers: [.apt(["libopenmpi-dev"]), .brew(["open-mpi"])]),
    .target(
      name: "MPIRanks", dependencies: ["Platform", "Ranks", .target(name: "CMPI", condition: .when(traits: ["MPI"]))],
      swiftSettings: strict),

    // The tensor program, and the engine that runs it.
    .target(name: "TensorGraph", dependencies: ["Platform", "Threads"], swiftSettings: strict),
    .target(
      name: "CPUBackend", dependencies: ["Platform", "TensorGraph", "Threads", "CKernels"],
      swiftSettings: strict),

    // Accelerators: XLA through the PJRT C API, of which the header is all there is; a plugin is opened at run time.
    .systemLibrary(name: "CPJRT"),
    .target(
      name: "XLABackend", dependencies: ["Platform", "Threads", "Ranks", "TensorGraph", "Files", "CPJRT"],
      swiftSettings: strict),

    // Bytes: files, pictures, and the data made of them.
    .target(name: "Files", dependencies: ["Platform", "CArchive", "CZlib"], swiftSettings: strict),
    .target(
      name: "Pictures", dependencies: ["Platform", "Files", "CCodecs", "CZlib", "CWebP", "CGIF"], swiftSettings: strict),
    .target(
      name: "Datasets", dependencies: ["Platform", "Files", "Pictures", "Threads", "CArchive"], swiftSettings: strict),

    // The mathematics (knows no network), the networks (know no diffusion), and both on disk.
    .target(name: "Diffusion", dependencies: ["Platform", "TensorGraph", "Threads"], swiftSettings: strict),
    .target(name: "Networks", dependencies: ["TensorGraph"], swiftSettings: strict),
    .target(
      name: "Diffusers", dependencies: ["Platform", "Files", "TensorGraph", "Diffusion", "Networks"],
      swiftSettings: strict),

    // The product: models, training, evaluation; and the command.
    .target(
      name: "DDPM",
      dependencies: [
        "Platform", "Threads", "Ranks", "CPUBackend", "TensorGraph", "Diffusion", "Networks", "Diffusers", "Files",
        "Pictures", "Datasets",
      ], swiftSettings: strict),
    .executableTarget(
      name: "ddpm-cli",
      dependencies: [
        "Platform", "Ranks", "MPIRanks", "DDPM", "CPUBackend", "XLABackend", "CBuild",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict + unoptimised),

    .target(
      name: "TestSupport",
      dependencies: ["Platform", "Threads", "Ranks", "TensorGraph", "Diffusion", "Networks", "Pictures"],
      path: "Tests/TestSupport", swiftSettings: strict),
    .target(
      name: "FuzzTargets",
      dependencies: [
        "Platform", "Files", "Pictures", "Datasets", "Diffusers", "Diffusion", "Networks", "DDPM",
      ],
      path: "Tests/FuzzTargets", swiftSettings: strict),
    .testTarget(name: "CorpusTests", dependencies: ["FuzzTargets", "Files"], swiftSettings: strict),
    .testTarget(
      name: "TensorGraphTests", dependencies: ["Platform", "TensorGraph", "TestSupport"], exclude: ["Golden"],
      swiftSettings: strict
    ),
    .testTarget(
      name: "CPUBackendTests", dependencies: ["Platform", "Threads", "CPUBackend", "CKernels", "TestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "XLABackendTests", dependencies: ["Ranks", "XLABackend", "CPJRT", "CPUBackend", "Networks", "TestSupport"],
      swiftSettings: strict),
    .testTarget(name: "RanksTests", dependencies: ["Ranks", "Threads", "TestSupport"], swiftSettings: strict),
    .testTarget(name: "FilesTests", dependencies: ["Platform", "Files", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "PicturesTests", dependencies: ["Platform", "Pictures", "Datasets", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "DatasetsTests", dependencies: ["Platform", "Threads", "Datasets", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "DiffusionTests", dependencies: ["Platform", "Diffusion", "TensorGraph", "TestSupport"],
      exclude: ["Golden"],
      swiftSettings: strict),
    .testTarget(name: "NetworksTests", dependencies: ["Networks", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "DiffusersTests", dependencies: ["Platform", "Diffusers", "TestSupport"], exclude: ["Golden"],
      swiftSettings: strict),
    .testTarget(
      name: "DDPMTests", dependencies: ["Platform", "Threads", "Ranks", "DDPM", "CPUBackend", "TestSupport"],
      exclude: ["Fixtures"],
      swiftSettings: strict),
    .testTarget(name: "BookTests", dependencies: ["Platform", "Diffusion"], swiftSettings: strict),
  ]
)

// The fuzzer's program (scripts/fuzz) has libFuzzer's main, and so can be built by itself alone.
if Context.environment["DDPM_FUZZ"] != nil {
  package.targets.append(
    .executableTarget(
      name: "ddpm-fuzz", dependencies: ["FuzzTargets"], path: "Fuzz",
      swiftSettings: [.unsafeFlags(["-parse-as-library"])]))
}
