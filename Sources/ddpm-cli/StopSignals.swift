import Platform
import Ranks
import Synchronization

/// Ctrl-C and SIGTERM as a polite request: the run finishes its step, saves and ends. A second one ends it at once.
enum StopSignals {
  /// The signal that arrived; 0 before.
  private static let received = Atomic<Int32>(0)

  /// Starts to watch for SIGINT and SIGTERM.
  static func watch() {
    received.store(0, ordering: .relaxed)
    // After the first signal the default action is back: a second one kills.
    var action = sigaction(
      calling: { StopSignals.received.store($0, ordering: .relaxed) },
      flags: Int32(bitPattern: UInt32(SA_RESETHAND)) | Int32(SA_RESTART))
    sigaction(SIGINT, &action, nil)
    sigaction(SIGTERM, &action, nil)
    // What mpirun hands on to the processes that it has started; of SIGTERM it makes an end at once.
    if Launch.ranks.isShared { sigaction(SIGUSR1, &action, nil) }
  }

  /// The signal that asked for an end, if one has.
  static var pending: Int32? {
    let signal = received.load(ordering: .relaxed)
    return signal == 0 ? nil : signal
  }
}
