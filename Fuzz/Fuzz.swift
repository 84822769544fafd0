import FuzzTargets

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// What libFuzzer calls, again and again; `DDPM_FUZZ_TARGET` names the parser.
private let target: FuzzTarget = {
  let name = getenv("DDPM_FUZZ_TARGET").map { String(cString: $0) } ?? ""
  guard let target = FuzzTarget(rawValue: name) else {
    fatalError("DDPM_FUZZ_TARGET is '\(name)'; choose one of \(FuzzTarget.allCases.map(\.rawValue))")
  }
  return target
}()

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  do throws(FuzzTarget.BrokenPromise) {
    try target.run(Array(UnsafeBufferPointer(start: data, count: size)))
  } catch {
    fatalError(error.description)
  }
  return 0
}
