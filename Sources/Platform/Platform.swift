// The system's C library, whichever it is: the one file that names it.
#if canImport(Glibc)
  // C's `stdout` is a variable that nobody changes.
  @preconcurrency @_exported import Glibc
#elseif canImport(Musl)
  @preconcurrency @_exported import Musl
#else
  @preconcurrency @_exported import Darwin
#endif

// What the systems write differently, and what a type's own methods would hide.

/// C's `read`.
package func systemRead(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer?, _ count: Int) -> Int {
  read(descriptor, bytes, count)
}

/// C's `write`.
package func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
  write(descriptor, bytes, count)
}

/// C's `close`.
package func systemClose(_ descriptor: Int32) -> Int32 { close(descriptor) }

/// C's `SOCK_STREAM`, as `socket` takes it.
package var streamSocketType: Int32 {
  #if canImport(Glibc)
    Int32(SOCK_STREAM.rawValue)
  #else
    SOCK_STREAM
  #endif
}

/// The option that says after how many seconds of silence a peer is asked whether it is there.
package var keepAliveIdleOption: Int32 {
  #if canImport(Darwin)
    TCP_KEEPALIVE
  #else
    Int32(TCP_KEEPIDLE)
  #endif
}

/// C's `send`, where a peer that is gone is an error and no signal.
package func sendQuietly(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
  #if canImport(Darwin)
    var yes: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_NOSIGPIPE, &yes, socklen_t(MemoryLayout<Int32>.size))
    return send(descriptor, bytes, count, 0)
  #else
    return send(descriptor, bytes, count, Int32(MSG_NOSIGNAL))
  #endif
}

/// Hands on what was printed, and says whether it arrived.
package func flushPrinted() -> Bool { fflush(stdout) == 0 && ferror(stdout) == 0 }

extension String {
  /// What C wrote into an array: its characters up to the first zero, with � for what is not UTF-8.
  package init(untilZero characters: [CChar]) {
    self.init(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

extension stat {
  /// When the contents were last changed, in seconds since 1970.
  package var changed: Int {
    #if canImport(Darwin)
      st_mtimespec.tv_sec
    #else
      st_mtim.tv_sec
    #endif
  }
}

extension sigaction {
  /// An action that calls a function with the signal's number.
  package init(calling handler: @escaping @convention(c) (Int32) -> Void, flags: Int32) {
    self.init()
    #if canImport(Darwin)
      __sigaction_u.__sa_handler = handler
    #else
      __sigaction_handler.sa_handler = handler
    #endif
    sa_flags = flags
  }
}

/// Starts a thread that calls `body` with `argument`; nil where the system has no more of them.
package func startThread(
  _ argument: UnsafeMutableRawPointer, _ body: @escaping @convention(c) (UnsafeMutableRawPointer) -> Void
) -> pthread_t? {
  // C wants a result, whose type the systems spell differently.
  struct Start {
    let body: @convention(c) (UnsafeMutableRawPointer) -> Void
    let argument: UnsafeMutableRawPointer
  }
  let start = UnsafeMutablePointer<Start>.allocate(capacity: 1)
  start.initialize(to: Start(body: body, argument: argument))
  #if canImport(Darwin)
    var thread: pthread_t?
    let status = pthread_create(
      &thread, nil,
      { pointer in
        let start = pointer.assumingMemoryBound(to: Start.self).move()
        pointer.deallocate()
        start.body(start.argument)
        return nil
      }, start)
  #else
    var made = pthread_t()
    let status = pthread_create(
      &made, nil,
      { pointer in
        guard let pointer else { return nil }
        let start = pointer.assumingMemoryBound(to: Start.self).move()
        pointer.deallocate()
        start.body(start.argument)
        return nil
      }, start)
    let thread: pthread_t? = made
  #endif
  guard status == 0 else {
    start.deallocate()
    return nil
  }
  return thread
}
