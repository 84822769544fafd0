import Glibc

/// The one host thread from which the engine runs.
///
/// libgomp keeps a pool of workers for every thread that calls it, so calls from wandering tasks would each start, and keep,
/// a pool of their own.
final class EngineThread: @unchecked Sendable {
  static let shared = EngineThread()

  private var mutex = pthread_mutex_t()
  private var condition = pthread_cond_t()
  private var work: [() -> Void] = []
  private var identity: pthread_t?

  private init() {
    pthread_mutex_init(&mutex, nil)
    pthread_cond_init(&condition, nil)
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { context in
        if let context { Unmanaged<EngineThread>.fromOpaque(context).takeUnretainedValue().loop() }
        return nil
      }, Unmanaged.passUnretained(self).toOpaque())
    // Without a thread of its own the engine runs on its callers'.
    if code == 0 { identity = thread }
  }

  /// Runs `body` on the engine's thread and waits for it.
  func run<Success, Failure: Error>(_ body: @escaping () throws(Failure) -> Success) throws(Failure) -> Success {
    guard let identity, pthread_equal(identity, pthread_self()) == 0 else { return try body() }
    var result: Result<Success, Failure>?
    pthread_mutex_lock(&mutex)
    work.append { [self] in
      let outcome: Result<Success, Failure>
      do throws(Failure) { outcome = .success(try body()) } catch { outcome = .failure(error) }
      pthread_mutex_lock(&mutex)
      result = outcome
      pthread_cond_broadcast(&condition)
      pthread_mutex_unlock(&mutex)
    }
    pthread_cond_broadcast(&condition)
    while true {
      if let result {
        pthread_mutex_unlock(&mutex)
        return try result.get()
      }
      pthread_cond_wait(&condition, &mutex)
    }
  }

  private func loop() {
    while true {
      pthread_mutex_lock(&mutex)
      while work.isEmpty { pthread_cond_wait(&condition, &mutex) }
      let job = work.removeFirst()
      pthread_mutex_unlock(&mutex)
      job()
    }
  }
}
