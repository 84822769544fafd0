import Pictures
import Threads

/// Examples for one step.
public struct Batch: Sendable {
  /// x0, N × channels × height × width: byte / 127.5 − 1, in [−1, 1], or numbers as they are.
  public let x0: [Float]
  /// One class per image.
  public let labels: [Int32]
  /// The number of the first example, counted from the start of the run.
  public let cursor: Int
}

/// Prepares batches ahead of the computation, on threads of its own, so that it never waits for data.
///
/// The batch at a cursor is a pure function of (data, seed, cursor): a run resumed at a cursor sees what it would have seen.
/// Threads sleep while the queue is full, and end with the loader.
///
/// ```swift
/// let loader = BatchLoader(data, batchSize: 128, seed: 1, mirrors: data.isMirrorable)
/// while training { let batch = try loader.next() … }
/// save(loader.cursor)
/// ```
public final class BatchLoader {
  private struct Queue {
    /// Finished batches by number.
    var ready: [Int: Result<Batch, any Error>] = [:]
    /// The number of the next batch to prepare, and of the next to hand out.
    var claimed = 0
    var taken = 0
    var isClosed = false
  }

  /// What is in each batch.
  public let recipe: BatchRecipe
  /// The number of examples handed out since the start of the run: what a checkpoint must hold.
  public private(set) var cursor: Int
  private let queue: Monitor<Queue>
  private var threads: [WorkerThread] = []

  /// - Parameters:
  ///   - share: the examples of each batch that are loaded; nil for all.
  ///   - cursor: where to begin; 0, or what a checkpoint holds.
  ///   - mirrors: flips each image left to right with probability ½.
  ///   - depth: the most batches to hold ready.
  ///   - threads: the threads that prepare them.
  public init(
    _ data: Dataset, batchSize: Int, share: Range<Int>? = nil, seed: UInt64, cursor: Int = 0, mirrors: Bool = false,
    depth: Int = 4, threads: Int = 1
  ) {
    precondition(depth > 0 && threads > 0, "a loader needs a queue (\(depth)) and threads (\(threads))")
    precondition(cursor >= 0, "a cursor counts from 0, not \(cursor)")
    let recipe = BatchRecipe(data, batchSize: batchSize, share: share, seed: seed, mirrors: mirrors)
    let queue = Monitor(Queue())
    self.recipe = recipe
    self.cursor = cursor
    self.queue = queue
    for _ in 0..<threads {
      let thread = WorkerThread { Self.work(recipe, from: cursor, into: queue, depth: depth) }
      if let thread { self.threads.append(thread) }
    }
  }

  deinit {
    queue.change { $0.isClosed = true }
    for thread in threads { thread.join() }
  }

  private static func work(_ recipe: BatchRecipe, from start: Int, into queue: Monitor<Queue>, depth: Int) {
    while true {
      let claimed: Int? = queue.wait { queue in
        if queue.isClosed { return .some(nil) }
        guard queue.claimed < queue.taken + depth else { return nil }
        queue.claimed += 1
        return queue.claimed - 1
      }
      guard let number = claimed else { return }
      let batch = Result { try recipe.batch(at: start + number * recipe.batchSize) }
      queue.change { $0.ready[number] = batch }
    }
  }

  /// The next batch.
  ///
  /// - Throws: what reading an image threw: ``DataError`` or ``FileError`` naming the file. The cursor then stays where it was.
  public func next() throws -> Batch {
    // A system without threads to spare still works, only without looking ahead.
    guard !threads.isEmpty else {
      let batch = try recipe.batch(at: cursor)
      cursor += recipe.batchSize
      return batch
    }
    let result = queue.wait { queue in queue.ready[queue.taken] }
    let batch = try result.get()
    queue.change { queue in
      queue.ready[queue.taken] = nil
      queue.taken += 1
    }
    cursor += recipe.batchSize
    return batch
  }
}

/// What is in the batch at a cursor: the plain definition, which ``BatchLoader`` runs ahead of time.
public struct BatchRecipe: Sendable {
  /// What the batches are of.
  public let data: Dataset
  /// Examples a batch.
  public let batchSize: Int
  /// The examples of each batch that are loaded: all of them, or what one of several processes computes.
  public let share: Range<Int>
  /// Of the order and of the mirroring.
  public let seed: UInt64
  /// Whether each image is flipped left to right with probability ½.
  public let mirrors: Bool
  private let shuffle: EpochShuffle

  /// - Parameters:
  ///   - batchSize: 1 or more; it may exceed the data, which is then gone through more than once.
  ///   - share: nil for all of each batch.
  public init(_ data: Dataset, batchSize: Int, share: Range<Int>? = nil, seed: UInt64, mirrors: Bool) {
    precondition(batchSize > 0, "a batch of \(batchSize) images")
    let share = share ?? 0..<batchSize
    precondition(0 <= share.lowerBound && share.upperBound <= batchSize, "examples \(share) of a batch of \(batchSize)")
    self.data = data
    self.batchSize = batchSize
    self.share = share
    self.seed = seed
    self.mirrors = mirrors
    shuffle = EpochShuffle(seed: seed, count: data.count)
  }

  /// The example that is drawn as number `cursor`. An endless source has no epochs: each draw is new.
  public func index(at cursor: Int) -> Int { data.isEndless ? cursor : shuffle[cursor] }

  /// The share of examples `cursor ..< cursor + batchSize`.
  public func batch(at cursor: Int) throws -> Batch {
    let shape = data.shape
    var labels: [Int32] = []
    labels.reserveCapacity(share.count)
    let x0 = try [Float](unsafeUninitializedCapacity: share.count * shape.count) { out, count in
      for k in cursor + share.lowerBound..<cursor + share.upperBound {
        let example = try data.load(index(at: k))
        if let values = example.values {
          precondition(values.count == shape.count, "a vector of \(values.count) numbers, not \(shape)")
          labels.append(example.label)
          for value in values {
            out[count] = value
            count += 1
          }
          continue
        }
        precondition(example.pixels.count == shape.count, "an image of \(example.pixels.count) samples, not \(shape)")
        var random = CounterRandom(seed: seed, stream: 0x6D69_7272_6F72, index: k)
        let isMirrored = mirrors && random.next() & 1 == 1
        labels.append(example.label)
        for line in 0..<shape.channels * shape.height {
          let start = line * shape.width
          for x in 0..<shape.width {
            let byte = example.pixels[start + (isMirrored ? shape.width - 1 - x : x)]
            out[count] = PixelScale.x0(byte)
            count += 1
          }
        }
      }
    }
    return Batch(x0: x0, labels: labels, cursor: cursor + share.lowerBound)
  }
}
