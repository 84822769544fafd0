// The whole file is there with the package trait MPI alone: the plain build needs no MPI.
#if MPI
  import CMPI
  import Platform
  import Ranks

  /// The ranks that `mpirun` or a scheduler launched, by the MPI that the program was linked with.
  package struct MPIRanks: Communicator {
    package let rank: Int
    package let count: Int
    package let host: String

    /// Joins the others. Call it once, before anything else of MPI.
    package init() throws(MPIError) {
      try MPIError.check(ddpm_mpi_start(), "start")
      (rank, count) = (Int(ddpm_mpi_rank()), Int(ddpm_mpi_count()))
      var name = [CChar](repeating: 0, count: 256)
      try MPIError.check(ddpm_mpi_host(&name, 256), "name its host")
      host = String(untilZero: name)
    }

    /// Leaves the others, who leave too.
    package func end() { ddpm_mpi_end() }

    /// Ends all ranks at once.
    package func abort(status: Int32) { ddpm_mpi_abort(status) }

    package func exchange(
      _ sent: UnsafeRawBufferPointer, to target: Int, _ received: UnsafeMutableRawBufferPointer, from source: Int
    ) throws {
      try MPIError.check(
        ddpm_mpi_exchange(
          sent.baseAddress, sent.count, Int32(target), received.baseAddress, received.count, Int32(source)),
        "exchange with ranks \(target) and \(source)")
    }

    package func send(_ bytes: UnsafeRawBufferPointer, to target: Int) throws {
      try MPIError.check(
        ddpm_mpi_exchange(bytes.baseAddress, bytes.count, Int32(target), nil, 0, 0), "send to rank \(target)")
    }

    package func receive(_ bytes: UnsafeMutableRawBufferPointer, from source: Int) throws {
      try MPIError.check(
        ddpm_mpi_exchange(nil, 0, 0, bytes.baseAddress, bytes.count, Int32(source)), "receive from rank \(source)")
    }

    package func gather(_ bytes: [UInt8]) throws -> [[UInt8]] {
      var all = [UInt8](repeating: 0, count: bytes.count * count)
      try MPIError.check(ddpm_mpi_gather(bytes, Int32(bytes.count), &all), "gather")
      return (0..<count).map { Array(all[$0 * bytes.count..<($0 + 1) * bytes.count]) }
    }

    package func sumScattered(_ numbers: [Float], counts: [Int]) throws -> [Float] {
      var sum = [Float](repeating: 0, count: counts[rank])
      try MPIError.check(ddpm_mpi_sum_scattered(numbers, counts.map(Int32.init), &sum), "sum")
      return sum
    }
  }

  /// What MPI refused, in its own words.
  package struct MPIError: Error, CustomStringConvertible {
    package let description: String

    static func check(_ code: Int32, _ action: String) throws(MPIError) {
      guard code != 0 else { return }
      var text = [CChar](repeating: 0, count: 512)
      ddpm_mpi_explain(code, &text, 512)
      let words = String(untilZero: text)
      throw MPIError(description: "MPI cannot \(action): \(words.isEmpty ? "code \(code)" : words)")
    }
  }
#endif
