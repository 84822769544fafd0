import Dispatch
import Synchronization

/// Runs long computations for `async` callers on threads of Dispatch, so that they do not hold up Swift's own few.
enum Worker {
  private static let queue = DispatchQueue(label: "swift-ddpm.work", attributes: .concurrent)

  /// Runs `body` and waits for it without blocking a thread.
  static func run<Success: Sendable>(_ body: @escaping @Sendable () throws -> Success) async throws -> Success {
    try await withCheckedThrowingContinuation { continuation in
      queue.async { continuation.resume(with: Result { try body() }) }
    }
  }

  /// As `run`, with a way to learn that the caller's task was cancelled: `check` throws then.
  static func cancellable<Success: Sendable>(
    _ body: @escaping @Sendable (_ check: @escaping @Sendable () throws -> Void) throws -> Success
  ) async throws -> Success {
    let flag = Flag()
    return try await withTaskCancellationHandler {
      try await run { try body { if flag.isSet.load(ordering: .relaxed) { throw CancellationError() } } }
    } onCancel: {
      flag.isSet.store(true, ordering: .relaxed)
    }
  }

  private final class Flag: Sendable {
    let isSet = Atomic(false)
  }
}
