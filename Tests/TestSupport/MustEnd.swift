import Testing

extension Trait where Self == TimeLimitTrait {
  /// What waits for ever fails. What is merely slow does not: under a sanitizer, on a busy machine, a minute becomes many.
  package static var mustEnd: Self { .timeLimit(.minutes(60)) }
}
