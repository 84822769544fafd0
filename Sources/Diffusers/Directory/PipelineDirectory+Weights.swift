import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Where a pipeline's weights are: in one file, or split over several that an index names.
extension PipelineDirectory {
  /// What diffusers inserts into names for `variant="fp16"`; the full precision goes first.
  private static let variants = ["", ".fp16"]

  /// The weights, mapped without reading them.
  ///
  /// - Throws: As ``weightsURLs(in:)``; `SafetensorsError` or `FileError`.
  static func weights(in directory: URL) throws -> SafetensorsFile {
    let urls = try weightsURLs(in: directory)
    let files = try urls.map { try SafetensorsFile(contentsOf: $0) }
    if files.count == 1 { return files[0] }
    return try SafetensorsFile(joining: files, path: urls[0].deletingLastPathComponent().path)
  }

  /// The files that hold the weights: one, or in the order of their names those that an index names.
  ///
  /// - Throws: ``PipelineError`` where they are absent or pickled, or the index names none; `FileError` where it cannot be read.
  public static func weightsURLs(in directory: URL) throws -> [URL] {
    for variant in variants {
      let name = weightsName.replacing(".safetensors", with: variant + ".safetensors")
      if let url = find(name, in: directory) { return [url] }
      if let index = find("\(weightsName).index\(variant).json", in: directory) { return try parts(index) }
    }
    if let pickle = find("diffusion_pytorch_model.bin", in: directory) {
      throw PipelineError.pickledWeights(file: pickle.path, directory: pickle.deletingLastPathComponent().path)
    }
    throw PipelineError.missingFile(directory: directory.path, names: ["unet/\(weightsName)", weightsName])
  }

  /// The files that an index names for the tensors: `{"weight_map": {TENSOR: FILE, …}}`.
  private static func parts(_ index: URL) throws -> [URL] {
    let names = try readObject(index)["weight_map"]?.object?.values.map(\.string) ?? []
    let folder = index.deletingLastPathComponent()
    // Beside the index: a file that came from a stranger names no other place.
    let plain = names.compactMap { $0 }.filter { !$0.isEmpty && !$0.contains("/") }
    guard !names.isEmpty, plain.count == names.count else {
      throw PipelineError.value(
        file: index.path, key: "weight_map",
        found: names.isEmpty ? "empty or no object" : "not all names of files beside it",
        wanted: "it should say for each tensor the file that holds it")
    }
    let urls = Set(plain).sorted().map { folder.appending(path: $0) }
    if let absent = urls.first(where: { !exists($0) }) {
      throw PipelineError.missingFile(directory: folder.path, names: [absent.lastPathComponent])
    }
    return urls
  }
}
