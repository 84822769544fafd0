import Platform

/// How long the threads of the pool wait for each other with their processor busy.
///
/// libgomp's default is tens of milliseconds: fine on a machine of one's own, but beside any other busy process every
/// operator then waits for the scheduler. It reads the setting once, when it is loaded, so a process can only change it by
/// starting itself again.
public enum WaitPolicy {
  private static let variable = "GOMP_SPINCOUNT"
  /// With these the user has said how threads wait; or where they run, and then the library has bound this thread to one processor, which a
  /// process that started itself again would take for all.
  private static let others = ["OMP_WAIT_POLICY", "OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"]
  /// About a tenth of a millisecond: longer than the gap between two operators, shorter than a scheduler's slice.
  private static let spinCount = "2000"

  /// Restarts the process with a bounded wait, unless its environment already says how to wait, or where to run. Call it first in `main`.
  ///
  /// Where the restart fails the process goes on as it is, only slower under load.
  public static func restartIfUnset() {
    // Only libgomp waits so, and only Linux has it.
    #if os(Linux)
      guard ([variable] + others).allSatisfy({ getenv($0) == nil }) else { return }
      setenv(variable, spinCount, 0)
      var arguments = CommandLine.arguments.map { strdup($0) } + [nil]
      execv("/proc/self/exe", &arguments)
      for argument in arguments { free(argument) }
    #endif
  }
}
