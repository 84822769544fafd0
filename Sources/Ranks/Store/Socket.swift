import Platform

/// A TCP connection, or a place where they arrive.
///
/// Numbers go lowest byte first. What is read is bounded by the caller.
package final class Socket: Sendable {
  private let descriptor: Int32

  private init(_ descriptor: Int32) { self.descriptor = descriptor }

  deinit { _ = systemClose(descriptor) }

  // MARK: Making

  /// Where connections to `port` of this machine arrive; 0 takes one that is free.
  static func listening(on port: UInt16) throws(StoreError) -> Socket {
    try opened(nil, port, "port \(port)") { descriptor, place in
      var (yes, no): (Int32, Int32) = (1, 0)
      setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
      // The protocol's version 6 brings version 4 with it.
      setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &no, socklen_t(MemoryLayout<Int32>.size))
      return bind(descriptor, place.ai_addr, place.ai_addrlen) == 0 && listen(descriptor, 1024) == 0
    }
  }

  /// A connection to `port` of `host`.
  package static func connected(to host: String, _ port: UInt16) throws(StoreError) -> Socket {
    let socket = try opened(host, port, "\(host):\(port)") { connect($0, $1.ai_addr, $1.ai_addrlen) == 0 }
    // Messages are short and waited for.
    socket.set(Int32(IPPROTO_TCP), Int32(TCP_NODELAY), 1)
    socket.noticesLostMachines()
    return socket
  }

  /// The next connection that arrives; nil where there are no more.
  func accepted() -> Socket? {
    while true {
      let made = accept(descriptor, nil, nil)
      if made >= 0 {
        let socket = Socket(made)
        socket.noticesLostMachines()
        return socket
      }
      guard errno == EINTR || errno == ECONNABORTED else { return nil }
    }
  }

  /// A machine that says nothing for 25 seconds, asked three times, is gone.
  private func noticesLostMachines() {
    set(SOL_SOCKET, SO_KEEPALIVE, 1)
    set(Int32(IPPROTO_TCP), keepAliveIdleOption, 10)
    set(Int32(IPPROTO_TCP), Int32(TCP_KEEPINTVL), 5)
    set(Int32(IPPROTO_TCP), Int32(TCP_KEEPCNT), 3)
  }

  private func set(_ level: Int32, _ option: Int32, _ value: Int32) {
    var value = value
    setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
  }

  private static func opened(
    _ host: String?, _ port: UInt16, _ address: String, _ use: (Int32, addrinfo) -> Bool
  ) throws(StoreError) -> Socket {
    var wanted = addrinfo()
    wanted.ai_socktype = streamSocketType
    wanted.ai_flags = host == nil ? AI_PASSIVE : 0
    var found: UnsafeMutablePointer<addrinfo>?
    let status = getaddrinfo(host, String(port), &wanted, &found)
    guard status == 0, let found else { throw .unreachable(address, reason: String(cString: gai_strerror(status))) }
    defer { freeaddrinfo(found) }
    var reason = "no address"
    let places = sequence(first: found, next: { $0.pointee.ai_next }).map(\.pointee)
    let isServer = host == nil
    for place in isServer ? places.sorted(by: { $0.ai_family == AF_INET6 && $1.ai_family != AF_INET6 }) : places {
      let made = socket(place.ai_family, place.ai_socktype, place.ai_protocol)
      guard made >= 0 else { continue }
      let socket = Socket(made)
      if use(made, place) { return socket }
      reason = String(cString: strerror(errno))
    }
    throw .unreachable(address, reason: reason)
  }

  /// The port that it listens on.
  var port: UInt16 {
    var name = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    return withUnsafeMutablePointer(to: &name) { pointer in
      pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { name in
        name.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = getsockname(descriptor, $0, &size) }
        // At the same place for both versions of the protocol.
        return UInt16(bigEndian: name.pointee.sin_port)
      }
    }
  }

  // MARK: Messages

  /// What is waited for longer than this fails; nil waits as long as it takes.
  func limit(to seconds: Double?) {
    var time = timeval()
    // Zero would mean forever.
    time.tv_sec = .init(seconds.map { max(1, $0.rounded(.up)) } ?? 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
  }

  package func write(_ bytes: [UInt8]) throws(StoreError) {
    var start = 0
    while start < bytes.count {
      let sent = bytes.withUnsafeBytes { sendQuietly(descriptor, $0.baseAddress.map { $0 + start }, $0.count - start) }
      guard sent > 0 else {
        if sent < 0, errno == EINTR { continue }
        throw .broken(String(cString: strerror(errno)))
      }
      start += sent
    }
  }

  /// Exactly as many bytes; nil where none came in time.
  func read(_ count: Int) throws(StoreError) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var start = 0
    while start < count {
      let received = bytes.withUnsafeMutableBytes {
        systemRead(descriptor, $0.baseAddress.map { $0 + start }, count - start)
      }
      guard received > 0 else {
        if received < 0, errno == EINTR { continue }
        if received < 0, errno == EAGAIN || errno == EWOULDBLOCK, start == 0 { return nil }
        throw .broken(received == 0 ? "it was closed" : String(cString: strerror(errno)))
      }
      start += received
    }
    return bytes
  }
}
