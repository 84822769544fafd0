import Threads

/// The one host thread from which the engine runs.
///
/// libgomp keeps a pool of workers for every thread that calls it, so calls from wandering tasks would each start, and keep,
/// a pool of their own.
final class EngineThread: Sendable {
  static let shared = EngineThread()

  private let jobs: Monitor<[() -> Void]>
  /// nil where the system has no more threads: then the engine runs on its callers', one at a time.
  private let thread: WorkerThread?

  private init() {
    let jobs = Monitor<[() -> Void]>([])
    self.jobs = jobs
    thread = WorkerThread {
      while true {
        let job = jobs.wait { $0.isEmpty ? nil : $0.removeFirst() }
        job()
      }
    }
  }

  /// Runs `body` on the engine's thread and waits for it.
  func run<Success, Failure: Error>(_ body: @escaping () throws(Failure) -> Success) throws(Failure) -> Success {
    func outcome() -> Result<Success, Failure> {
      do throws(Failure) { return .success(try body()) } catch { return .failure(error) }
    }
    guard let thread else { return try jobs.change { _ in outcome() }.get() }
    if thread.isCurrent { return try body() }
    let answer = Monitor<Result<Success, Failure>?>(nil)
    jobs.change {
      $0.append {
        let outcome = outcome()
        answer.change { $0 = outcome }
      }
    }
    return try answer.wait { $0 }.get()
  }
}
