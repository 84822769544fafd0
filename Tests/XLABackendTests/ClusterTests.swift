import CPJRT
import Ranks
import Testing
import XLABackend

/// Devices of several processes: what can be tested without two machines that have some.
@Suite("Clusters of devices")
struct ClusterTests {
  private func client(_ server: StoreServer) -> StoreClient { StoreClient(host: "127.0.0.1", port: server.port) }

  /// PJRT's questions, as a plugin asks them, from another process's client to this one's.
  @Test func theStoreAnswersPlugins() throws {
    let server = try StoreServer()
    let (one, other) = (PJRTStore(client(server)), PJRTStore(client(server)))
    var (asked, told) = (PJRT_Client_Create_Args(), PJRT_Client_Create_Args())
    one.answer(in: &asked)
    other.answer(in: &told)
    #expect(find("k", asked) == .code(PJRT_Error_Code_NOT_FOUND))
    #expect(get("k", asked, milliseconds: 500) == .code(PJRT_Error_Code_DEADLINE_EXCEEDED))
    // Values are bytes, zeros among them.
    put("k", [1, 0, 255], told)
    #expect(get("k", asked, milliseconds: 5_000) == .value([1, 0, 255]))
    #expect(find("k", asked) == .value([1, 0, 255]))
    put("empty", [], asked)
    #expect(find("empty", told) == .value([]))
    // Nothing of the ranks' own is under the same name.
    #expect(try client(server).present("k") == nil)
    withExtendedLifetime((one, other)) {}
  }

  @Test(.needsPlugin, .enabled(if: TestPlugin.isProcessor, "a GPU's plugin finds other processes"))
  func aPluginThatWorksAloneIsRefused() throws {
    let server = try StoreServer()
    let ranks = StoreRanks(rank: 1, count: 2, host: "here", store: client(server))
    let path = try #require(TestPlugin.path)
    #expect(throws: XLAError.self) {
      _ = try XLABackend(device: "xla:\(path)", cluster: XLACluster(ranks))
    }
  }

  // MARK: As a plugin calls

  private enum Answer: Equatable { case value([UInt8]), code(PJRT_Error_Code) }

  /// The code of an error, in place of the plugin's own error.
  private static let fail: PJRT_CallbackError = { code, _, _ in OpaquePointer(bitPattern: 1000 + Int(code.rawValue)) }

  private static func code(_ error: OpaquePointer) -> PJRT_Error_Code {
    PJRT_Error_Code(rawValue: .init(Int(bitPattern: error) - 1000))
  }

  private func put(_ key: String, _ value: [UInt8], _ client: PJRT_Client_Create_Args) {
    var (key, fail): (String, PJRT_CallbackError?) = (key, Self.fail)
    let error = key.withUTF8 { key in
      value.withUnsafeBytes { value in
        withUnsafeMutablePointer(to: &fail) { fail in
          var arguments = PJRT_KeyValuePutCallback_Args()
          (arguments.key, arguments.key_size) = (
            UnsafeRawPointer(key.baseAddress)?.assumingMemoryBound(to: CChar.self), key.count
          )
          (arguments.value, arguments.value_size) = (
            value.baseAddress?.assumingMemoryBound(to: CChar.self), value.count
          )
          (arguments.callback_error, arguments.user_arg) = (fail, client.kv_put_user_arg)
          return client.kv_put_callback?(&arguments)
        }
      }
    }
    #expect(error == nil)
  }

  private func get(_ key: String, _ client: PJRT_Client_Create_Args, milliseconds: Int32) -> Answer {
    var (key, fail): (String, PJRT_CallbackError?) = (key, Self.fail)
    return key.withUTF8 { key in
      withUnsafeMutablePointer(to: &fail) { fail in
        var arguments = PJRT_KeyValueGetCallback_Args()
        (arguments.key, arguments.key_size) = (
          UnsafeRawPointer(key.baseAddress)?.assumingMemoryBound(to: CChar.self), key.count
        )
        (arguments.callback_error, arguments.user_arg) = (fail, client.kv_get_user_arg)
        arguments.timeout_in_ms = milliseconds
        if let error = client.kv_get_callback?(&arguments) { return .code(Self.code(error)) }
        defer { arguments.value_deleter_callback?(arguments.value) }
        return .value(Array(UnsafeRawBufferPointer(start: arguments.value, count: arguments.value_size)))
      }
    }
  }

  private func find(_ key: String, _ client: PJRT_Client_Create_Args) -> Answer {
    var (key, fail): (String, PJRT_CallbackError?) = (key, Self.fail)
    return key.withUTF8 { key in
      withUnsafeMutablePointer(to: &fail) { fail in
        var arguments = PJRT_KeyValueTryGetCallback_Args()
        (arguments.key, arguments.key_size) = (
          UnsafeRawPointer(key.baseAddress)?.assumingMemoryBound(to: CChar.self), key.count
        )
        (arguments.callback_error, arguments.user_arg) = (fail, client.kv_try_get_user_arg)
        if let error = client.kv_try_get_callback?(&arguments) { return .code(Self.code(error)) }
        defer { arguments.value_deleter_callback?(arguments.value) }
        return .value(Array(UnsafeRawBufferPointer(start: arguments.value, count: arguments.value_size)))
      }
    }
  }
}
