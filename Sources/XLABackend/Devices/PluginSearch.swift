#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Where plugins are looked for, in this order: `DDPM_PJRT_PLUGIN` (a file), `PJRT_NAMES_AND_LIBRARY_PATHS` (`cuda:/file,tpu:/file`, the
/// convention of other programs), the user's cache (`swift-ddpm/plugins/DEVICE/`), and Python's packages: those of the virtual
/// environment, of conda, of the user, and of the `python3` on the path.
package struct PluginSearch {
  let environment: [String: String]

  package init(environment: [String: String] = ProcessInfo.processInfo.environment) { self.environment = environment }

  /// A plugin's file, or nil; and the places that were looked at.
  package func find(_ kind: PluginKind) -> (path: String?, searched: [String]) {
    var searched: [String] = []
    for place in places(of: kind) {
      searched.append(place.name)
      if let path = place.files().first(where: isFile) { return (path, searched) }
    }
    return (nil, searched)
  }

  private struct Place {
    let name: String
    let files: () -> [String]
  }

  private func places(of kind: PluginKind) -> [Place] {
    let named = Place(name: "DDPM_PJRT_PLUGIN") {
      // A file whose name says another device is not this one's.
      [variable("DDPM_PJRT_PLUGIN")].compactMap { $0 }
        .filter { [kind.device, PluginKind.unknown].contains(PluginKind.device(ofFile: $0)) }
    }
    let listed = Place(name: "PJRT_NAMES_AND_LIBRARY_PATHS") {
      (variable("PJRT_NAMES_AND_LIBRARY_PATHS") ?? "").split(separator: ",").compactMap { entry in
        let parts = entry.split(separator: ":", maxSplits: 1)
        return parts.count == 2 && parts[0] == kind.device ? String(parts[1]) : nil
      }
    }
    let cached = cacheFolder.map { folder in
      Place(name: "\(folder)/plugins/\(kind.device)") {
        names(in: "\(folder)/plugins/\(kind.device)").filter { $0.hasSuffix(".so") }
          .map { "\(folder)/plugins/\(kind.device)/\($0)" }
      }
    }
    return [named, listed] + (cached.map { [$0] } ?? [])
      + packageFolders.map { folder in Place(name: folder) { kind.files.map { "\(folder)/\($0)" } } }
  }

  /// The folders of Python's packages, without repetition.
  private var packageFolders: [String] {
    let home = variable("HOME").map { "\($0)/.local" }
    // The first `python3` on the path, as it is called and as it is: a virtual environment's is a link.
    let python = (variable("PATH") ?? "").split(separator: ":").map { "\($0)/python3" }.first(where: isFile)
    let resolved = python.map { URL(filePath: $0).resolvingSymlinksInPath().path }
    let prefixes =
      [variable("VIRTUAL_ENV"), variable("CONDA_PREFIX"), home] + [python, resolved].map { $0.flatMap(prefix) }
    var folders: [String] = []
    for prefix in prefixes.compactMap({ $0 }) + ["/usr/local"] {
      for version in names(in: "\(prefix)/lib") where version.hasPrefix("python3") {
        for packages in ["site-packages", "dist-packages"] {
          let folder = "\(prefix)/lib/\(version)/\(packages)"
          if !folders.contains(folder), FileManager.default.fileExists(atPath: folder) { folders.append(folder) }
        }
      }
    }
    return folders
  }

  /// `/usr` of `/usr/bin/python3`.
  private func prefix(of program: String) -> String? {
    let parts = program.split(separator: "/", omittingEmptySubsequences: false)
    return parts.count > 2 ? parts.dropLast(2).joined(separator: "/") : nil
  }

  /// `$XDG_CACHE_HOME/swift-ddpm`, or `~/.cache/swift-ddpm`.
  var cacheFolder: String? {
    (variable("XDG_CACHE_HOME") ?? variable("HOME").map { "\($0)/.cache" }).map { "\($0)/swift-ddpm" }
  }

  private func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }

  private func isFile(_ path: String) -> Bool {
    var isFolder: Bool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder
  }
}

/// The names of what a folder holds, sorted; none where there is no such folder.
func names(in folder: String) -> [String] {
  ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
}
