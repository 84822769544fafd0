import Ranks
import Testing

@Suite("How a process learns that it is one of several")
struct StorePlaceTests {
  private func place(_ environment: [String: String], hasMPI: Bool = false) throws -> [String]? {
    try StorePlace(in: environment, hasMPI: hasMPI).map { ["\($0.rank)", "\($0.count)", $0.address] }
  }

  @Test func variablesSayIt() throws {
    #expect(try place([:]) == nil)
    let own = ["DDPM_COORDINATOR": "a:1", "DDPM_RANK": "2", "DDPM_RANKS": "4"]
    #expect(try place(own) == ["2", "4", "a:1"])
    // It is asked for by name, MPI or not.
    #expect(try place(own, hasMPI: true) == ["2", "4", "a:1"])
    #expect(
      try place(["DDPM_COORDINATOR": "a:1", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"])
        == ["1", "2", "a:1"])
    #expect(try place(["DDPM_COORDINATOR": "a:1", "DDPM_RANK": "0", "DDPM_RANKS": "1"]) == nil)
    for rank in ["4", "-1", "x"] {
      #expect(throws: StoreError.self) { try place(own.merging(["DDPM_RANK": rank]) { $1 }) }
    }
    #expect(throws: StoreError.self) { try place(["DDPM_COORDINATOR": "a:1"]) }
  }

  @Test func slurmSaysIt() throws {
    let step = [
      "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NODELIST": "gpu[07-10,12]", "SLURM_JOB_ID": "5000",
    ]
    #expect(try place(step) == ["3", "8", "gpu07:62344"])
    #expect(try place(step, hasMPI: true) == nil)
    // A batch script's own shell is no step.
    #expect(try place(["SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "5"]) == nil)
    #expect(throws: StoreError.self) { try place(step.merging(["SLURM_STEP_NODELIST": "gpu[07"]) { $1 }) }
  }

  @Test(arguments: [
    ("node1", "node1"), ("a,b", "a"), ("n[1-3]", "n1"), ("n[003,5],m", "n003"), ("n[1-2]x,m[1-2]", "n1x"),
    ("rack-2[08-09]-ib", "rack-208-ib"),
  ]) func firstNodes(list: String, first: String) { #expect(StorePlace.firstNode(of: list) == first) }
}
