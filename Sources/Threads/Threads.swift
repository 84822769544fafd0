import Platform

/// State that several threads share, a lock around it, and a way to wait until it changes.
package final class Monitor<State>: @unchecked Sendable {
  private var state: State
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  package init(_ state: State) {
    self.state = state
    mutex.initialize(to: pthread_mutex_t())
    condition.initialize(to: pthread_cond_t())
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  /// The state as it is now.
  package var current: State {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return state
  }

  /// Reads or changes the state; everyone who waits then looks at it again.
  package func change<Result>(_ body: (inout State) throws -> Result) rethrows -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    let result = try body(&state)
    pthread_cond_broadcast(condition)
    return result
  }

  /// Sleeps until `body` returns a value. It runs under the lock, at first and after each change.
  package func wait<Result>(for body: (inout State) -> Result?) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while true {
      if let result = body(&state) {
        pthread_cond_broadcast(condition)
        return result
      }
      pthread_cond_wait(condition, mutex)
    }
  }
}

/// A thread of the operating system: for work that must not hold up Swift's own few.
package struct WorkerThread: @unchecked Sendable {
  private let identity: pthread_t

  /// Starts a thread; nil when the system has no more of them.
  package init?(_ body: @escaping @Sendable () -> Void) {
    final class Box {
      let body: @Sendable () -> Void
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    let box = Unmanaged.passRetained(Box(body)).toOpaque()
    let started = startThread(box) { Unmanaged<Box>.fromOpaque($0).takeRetainedValue().body() }
    guard let identity = started else {
      Unmanaged<Box>.fromOpaque(box).release()
      return nil
    }
    self.identity = identity
  }

  /// Waits for the thread to end. Call it once.
  package func join() { pthread_join(identity, nil) }

  /// Whether the caller runs on this thread.
  package var isCurrent: Bool { pthread_equal(identity, pthread_self()) != 0 }
}

/// Does `body(0) … body(count − 1)` on all processors; the order is free, so each must stand alone.
package func concurrently(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  let next = Monitor(0)
  // A few at a time, so that the lock costs nothing.
  let chunk = max(1, min(64, count / (8 * Processors.count)))
  @Sendable func work() {
    while true {
      let start = next.change { next in
        defer { next += chunk }
        return next
      }
      guard start < count else { return }
      for i in start..<min(start + chunk, count) { body(i) }
    }
  }
  let helpers = count > 1 ? (1..<Processors.count).compactMap { _ in WorkerThread(work) } : []
  work()
  for helper in helpers { helper.join() }
}
