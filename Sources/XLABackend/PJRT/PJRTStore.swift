import CPJRT
import Platform
import Ranks

/// The store by which the clients of several processes find each other, as PJRT asks for it: by C functions.
package final class PJRTStore: Sendable {
  private let store: any KeyValueStore

  package init(_ store: any KeyValueStore) { self.store = store }

  /// Names of ours and of other clients in the same store are others.
  private static func key(_ start: UnsafePointer<CChar>?, _ count: Int) -> String { "xla/" + String(start, count) }

  /// Makes this the store of a client, which must not outlive it.
  package func answer(in arguments: inout PJRT_Client_Create_Args) {
    let this = Unmanaged.passUnretained(self).toOpaque()
    (arguments.kv_get_user_arg, arguments.kv_try_get_user_arg, arguments.kv_put_user_arg) = (this, this, this)
    arguments.kv_get_callback = { arguments in
      guard let arguments else { return nil }
      return PJRTStore.answer(arguments.pointee.user_arg, arguments.pointee.callback_error) { store in
        let seconds = Double(max(1, arguments.pointee.timeout_in_ms)) / 1000
        let key = PJRTStore.key(arguments.pointee.key, arguments.pointee.key_size)
        let copy = PJRTStore.copy(try store.value(of: key, removes: false, within: seconds))
        (arguments.pointee.value, arguments.pointee.value_size) = (copy.start, copy.count)
        arguments.pointee.value_deleter_callback = { free($0) }
      }
    }
    arguments.kv_try_get_callback = { arguments in
      guard let arguments else { return nil }
      return PJRTStore.answer(arguments.pointee.user_arg, arguments.pointee.callback_error) { store in
        let key = PJRTStore.key(arguments.pointee.key, arguments.pointee.key_size)
        guard let value = try store.present(key) else { throw Missing(key: key) }
        let copy = PJRTStore.copy(value)
        (arguments.pointee.value, arguments.pointee.value_size) = (copy.start, copy.count)
        arguments.pointee.value_deleter_callback = { free($0) }
      }
    }
    arguments.kv_put_callback = { arguments in
      guard let arguments else { return nil }
      return PJRTStore.answer(arguments.pointee.user_arg, arguments.pointee.callback_error) { store in
        let bytes = UnsafeRawBufferPointer(start: arguments.pointee.value, count: arguments.pointee.value_size)
        try store.put(PJRTStore.key(arguments.pointee.key, arguments.pointee.key_size), Array(bytes))
      }
    }
  }

  private struct Missing: Error { let key: String }

  /// Does what a client asks of its store; an error becomes one of the API's.
  private static func answer(
    _ this: UnsafeMutableRawPointer?, _ fail: UnsafeMutablePointer<PJRT_CallbackError?>?,
    _ body: (any KeyValueStore) throws -> Void
  ) -> OpaquePointer? {
    guard let this else { return nil }
    do {
      try body(Unmanaged<PJRTStore>.fromOpaque(this).takeUnretainedValue().store)
      return nil
    } catch {
      let code =
        switch error {
        case is Missing: PJRT_Error_Code_NOT_FOUND
        case StoreError.late: PJRT_Error_Code_DEADLINE_EXCEEDED
        default: PJRT_Error_Code_UNAVAILABLE
        }
      var message = "\(error)"
      return message.withUTF8 { text in
        text.withMemoryRebound(to: CChar.self) { fail?.pointee?(code, $0.baseAddress, $0.count) }
      }
    }
  }

  /// In memory that C's `free` takes.
  private static func copy(_ bytes: [UInt8]) -> (start: UnsafeMutablePointer<CChar>?, count: Int) {
    let memory = malloc(max(1, bytes.count))
    if let memory { UnsafeMutableRawBufferPointer(start: memory, count: bytes.count).copyBytes(from: bytes) }
    return (memory?.assumingMemoryBound(to: CChar.self), bytes.count)
  }
}
