import ArgumentParser
import DDPM
import MPIRanks
import Platform
import Ranks

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A command that several processes can do together.
protocol RankedCommand {}

/// Whether this process was started alone or as one of several, by `mpirun` or a scheduler, and how it ends then.
enum Launch {
  /// Who works on the command together. Set once, before it runs.
  nonisolated(unsafe) private(set) static var ranks: any Communicator = Alone()
  /// Which of this machine's processes this is: they take one accelerator each.
  nonisolated(unsafe) private(set) static var localRank = 0

  /// What a launcher says in the environment of each process that it starts, and there is more than one.
  static func launcher(in environment: [String: String]) -> String? {
    func number(_ name: String) -> Int { environment[name].flatMap { Int($0) } ?? 0 }
    for name in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS"] where number(name) > 1 { return name }
    // Slurm with PMIx says the rank only; its own number of tasks counts where PMIx was asked for.
    if environment["PMIX_RANK"] != nil, number("PMIX_RANK") > 0 || number("SLURM_STEP_NUM_TASKS") > 1 {
      return "PMIX_RANK"
    }
    return nil
  }

  /// Joins the other processes, if there are any.
  ///
  /// - Throws: what MPI says; without MPI, that this program was started several times. Another version elsewhere is an error too.
  static func join() throws {
    let environment = ProcessInfo.processInfo.environment
    let launcher = launcher(in: environment)
    #if MPI
      let hasMPI = launcher != nil
    #else
      let hasMPI = false
    #endif
    if let place = try StorePlace(in: environment, hasMPI: hasMPI) { return try join(place) }
    guard let launcher else { return }
    #if MPI
      let joined = try MPIRanks()
      guard joined.isShared else {
        throw LaunchError(
          "\(launcher) says that there are several processes, and MPI says that this one is alone: start it by the mpirun of the MPI it was linked with"
        )
      }
      try meet(joined)
    #else
      throw LaunchError(
        "started as one of several processes (\(launcher)), and built without MPI: each would do the same; build with --traits MPI, or start one"
      )
    #endif
  }

  /// What is there until this process has done its part.
  nonisolated(unsafe) private static var presence: StoreClient.Presence?
  /// Rank 0's.
  nonisolated(unsafe) private static var server: StoreServer?

  /// Joins the other processes by the store of rank 0.
  private static func join(_ place: StorePlace) throws {
    let client = try StoreClient(place.address)
    if place.rank == 0 { server = try StoreServer(port: client.port) }
    presence = try client.join(rank: place.rank) { lost in
      // The first of those that are left speaks for all.
      if place.rank == (lost == 0 ? 1 : 0) {
        Terminal.complain("\(StoreError.lost(rank: lost)); go on with --resume where it was a run", byAnyRank: true)
      }
      _exit(1)
    }
    try meet(StoreRanks(rank: place.rank, count: place.count, host: ProcessInfo.processInfo.hostName, store: client))
  }

  /// Says who the others are.
  private static func meet(_ joined: any Communicator) throws {
    ranks = joined
    localRank = try ranks.gather(ranks.host).prefix(ranks.rank).count { $0 == ranks.host }
    try ranks.agree(on: "version of ddpm", Version.build)
  }

  /// - Throws: where several processes were started for what one does.
  static func check(_ command: any ParsableCommand) throws {
    if !(command is any RankedCommand) {
      try requireOne("\(type(of: command).configuration.commandName ?? "this") is done")
    }
  }

  /// - Throws: where several processes were started for `what`, such as "points are drawn".
  static func requireOne(_ what: String) throws {
    guard ranks.isShared else { return }
    throw ValidationError("\(what) by one process: start it without mpirun")
  }

  /// Builds something on the first rank, and then on the others.
  static func firstThenOthers<Built>(_ build: () throws -> Built) throws -> Built {
    if !ranks.isFirst { _ = try ranks.gather("") }
    let built = try build()
    if ranks.isFirst, ranks.isShared { _ = try ranks.gather("") }
    return built
  }

  /// The signal that asked any of the ranks for an end.
  static func agreed(_ signal: Int32?) throws -> Int32? {
    guard ranks.isShared else { return signal }
    return try ranks.gather([UInt8(truncatingIfNeeded: signal ?? 0)]).compactMap { $0.first.map(Int32.init) }.max()
      .flatMap { $0 > 0 ? $0 : nil }
  }

  /// Leaves the others in peace.
  static func end() {
    presence?.leave()
    server?.waitUntilLeft()
    #if MPI
      (ranks as? MPIRanks)?.end()
    #endif
  }

  /// Ends all of the job because of what happened here, with one line that says where; returns only where this process is alone.
  static func abort(_ status: Int32, _ message: String) {
    guard ranks.isShared else { return }
    if !ranks.isFirst {
      // What went wrong everywhere is said by the first, whose end ends this one too.
      usleep(1_000_000 + 50_000 * UInt32(min(ranks.rank, 40)))
    }
    Terminal.complain(ranks.isFirst ? message : "rank \(ranks.rank) on \(ranks.host): \(message)", byAnyRank: true)
    #if MPI
      (ranks as? MPIRanks)?.abort(status: status)
    #endif
    exit(status)
  }
}

/// Processes that cannot work together.
struct LaunchError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
