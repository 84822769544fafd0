/// This process's place among several that find each other by the store of rank 0, without MPI: for accelerators, whose own network
/// carries the gradients.
///
/// `DDPM_COORDINATOR=HOST:PORT` names rank 0's machine; `DDPM_RANK` and `DDPM_RANKS`, or what `mpirun` or Slurm sets, this process's
/// number and how many there are. In a Slurm step without PMIx nothing else is needed.
package struct StorePlace: Equatable {
  /// This process's number.
  package let rank: Int
  /// How many there are.
  package let count: Int
  /// Of the store: HOST:PORT.
  package let address: String

  /// - Parameter known: Whether the launcher speaks to an MPI that this program has.
  /// - Throws: `StoreError.place` where the variables are none.
  package init?(in environment: [String: String], hasMPI known: Bool) throws(StoreError) {
    let coordinator = environment["DDPM_COORDINATOR"]
    // Of a Slurm step only; a batch script's own shell has SLURM_PROCID too.
    let isStep = environment["SLURM_STEP_NUM_TASKS"].flatMap { Int($0) } ?? 1 > 1
    guard coordinator != nil || isStep && !known else { return nil }
    func number(_ names: [String]) -> Int? { names.compactMap { environment[$0].flatMap { Int($0) } }.first }
    guard let rank = number(["DDPM_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"]),
      let count = number(["DDPM_RANKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"]),
      count > 0, 0..<count ~= rank
    else {
      throw .place("DDPM_COORDINATOR is set, and not which process this is: set DDPM_RANK, from 0, and DDPM_RANKS")
    }
    guard count > 1 else { return nil }
    guard let address = coordinator ?? Self.slurmAddress(environment) else {
      throw .place("the nodes of this Slurm step are not named: set DDPM_COORDINATOR=HOST:PORT")
    }
    (self.rank, self.count, self.address) = (rank, count, address)
  }

  /// The first node of a step, and a port that no other job of the node has.
  private static func slurmAddress(_ environment: [String: String]) -> String? {
    guard let list = environment["SLURM_STEP_NODELIST"] ?? environment["SLURM_JOB_NODELIST"],
      let node = firstNode(of: list), let job = environment["SLURM_JOB_ID"].flatMap({ Int($0) })
    else { return nil }
    return "\(node):\(61_440 + job % 4_096)"
  }

  /// `node07` of `node[07-09,12],other`.
  package static func firstNode(of list: String) -> String? {
    let first = String(list.prefix { $0 != "," && $0 != "[" })
    let rest = list.dropFirst(first.count)
    guard rest.first == "[" else { return first.isEmpty ? nil : first }
    guard let end = rest.firstIndex(of: "]") else { return nil }
    let number = rest[..<end].dropFirst().prefix { $0 != "-" && $0 != "," }
    let tail = rest[end...].dropFirst().prefix { $0 != "," }
    return first + String(number) + String(tail)
  }
}
