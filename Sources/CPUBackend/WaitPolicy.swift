import Platform

/// How long the threads of the pool wait for each other with their processor busy.
///
/// libgomp's default is tens of milliseconds: fine on a machine of one's own, but beside any other busy process every
/// operator then waits for the scheduler. It reads the setting once, when it is loaded, so a process can only change it by
/// starting itself again.
public enum WaitPolicy {
  private static let variable = "GOMP_SPINCOUNT"
  /// About a tenth of a millisecond: longer than the gap between two operators, shorter than a scheduler's slice.
  private static let spinCount = "2000"

  /// Restarts the process with a bounded wait, unless its environment already says how to wait. Call it first in `main`.
  ///
  /// Where the restart fails the process goes on as it is, only slower under load.
  public static func restartIfUnset() {
    // Only libgomp waits so, and only Linux has it.
    #if os(Linux)
      guard getenv(variable) == nil, getenv("OMP_WAIT_POLICY") == nil else { return }
      setenv(variable, spinCount, 0)
      var arguments = CommandLine.arguments.map { strdup($0) } + [nil]
      execv("/proc/self/exe", &arguments)
      for argument in arguments { free(argument) }
    #endif
  }
}
