import CBuild
import CPUBackend

/// What `ddpm --version` says: what a report of a fault needs.
enum Version {
  /// The semantic version; CHANGELOG.md says what each brought.
  static let number = "0.2.0"

  /// What processes that work together have in common.
  static var build: String {
    let commit = String(cString: ddpm_commit())
    return number + (commit.isEmpty ? "" : " (\(commit))")
  }

  static var text: String {
    let features = String(cString: ddpm_processor_features())
    // Of the processor and of the system, which must grant AMX.
    let processor = [features, CPUBackend.hasAMX ? "AMX" : ""].filter { !$0.isEmpty }.joined(separator: " ")
    return """
      ddpm \(build)
      backends    \(CPUBackend().name); XLA where a plugin is ('ddpm devices'); reference
      processor   \(architecture)\(processor.isEmpty ? "" : ", \(processor)")
      """
  }

  private static var architecture: String {
    #if arch(x86_64)
      "x86-64"
    #elseif arch(arm64)
      "aarch64"
    #else
      "other"
    #endif
  }
}
