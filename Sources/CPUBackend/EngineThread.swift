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
  func run<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    guard let identity, pthread_equal(identity, pthread_self()) == 0 else { return try body() }
    var result: Swift.Result<Result, Failure>?
    var isDone = false
    withoutActuallyEscaping({ do throws(Failure) { result = .success(try body()) } catch { result = .failure(error) } })
    { job in
      pthread_mutex_lock(&mutex)
      work.append {
        job()
        pthread_mutex_lock(&self.mutex)
        isDone = true
        pthread_cond_broadcast(&self.condition)
        pthread_mutex_unlock(&self.mutex)
      }
      pthread_cond_broadcast(&condition)
      while !isDone { pthread_cond_wait(&condition, &mutex) }
      pthread_mutex_unlock(&mutex)
    }
    guard let result else { preconditionFailure("the engine's thread lost a job") }
    return try result.get()
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
