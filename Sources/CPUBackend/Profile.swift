/// Where the time of an executable goes: one line per step, summed over runs, and every run of every step for a trace.
public struct Profile: Sendable {
  /// One run of one step.
  public struct Event: Sendable {
    /// Index into `labels`.
    public var step: Int
    /// Seconds of the monotonic clock.
    public var start: Double
    /// Seconds of the monotonic clock.
    public var end: Double
    /// Which of the runs that went on at once it belongs to; nil where it was none of them, but between two.
    public var lane: Int?
  }

  /// What each step is, in the order in which they run; equal labels are summed in ``rows``.
  public private(set) var labels: [String]
  /// Multiplications and additions of one run of each step; 0 where nobody counts them.
  public private(set) var flops: [Double]
  /// The bytes of what one run of each step reads and writes, each operand once: what it moves at least where caches do not hold them.
  public private(set) var bytes: [Double]
  /// In the order in which they happened; they grow with every run.
  public private(set) var events: [Event] = []
  /// How many runs of a step go on at once, each on a thread of its own: 1 where all threads share each step.
  public let lanes: Int

  init(_ steps: [Step], lanes: Int) {
    self.lanes = lanes
    labels = steps.map(\.label)
    flops = steps.map(\.flops)
    bytes = steps.map { step in Double((step.reads + step.writes).reduce(0) { $0 + $1.byteCount }) }
  }

  /// - Parameter times: when each step from `first` on began, and when the last one ended.
  mutating func record(_ times: [Double], from first: Int, lane: Int?) {
    for (index, (start, end)) in zip(times, times.dropFirst()).enumerated() {
      events.append(Event(step: first + index, start: start, end: end, lane: lane))
    }
  }

  /// Adds what was done between runs.
  package mutating func add(_ label: String, start: Double, end: Double) {
    let step = labels.lastIndex(of: label) ?? labels.count
    if step == labels.count {
      labels.append(label)
      flops.append(0)
      bytes.append(0)
    }
    events.append(Event(step: step, start: start, end: end))
  }

  /// One row of the summary: all steps with one label.
  public struct Row: Sendable {
    /// What the steps are.
    public var label: String
    /// Over all of them and all runs, of runs that go on at once the mean: their share of the time that passes.
    public var seconds = 0.0
    /// How many runs of a step these are.
    public var count = 0
    /// Over all of them and all runs; 0 where nobody counts them.
    public var flops = 0.0
    /// Over all of them and all runs; see ``Profile/bytes``.
    public var bytes = 0.0
  }

  /// Total times by label, the longest first.
  public var rows: [Row] {
    var rows: [String: Row] = [:]
    for event in events {
      let label = labels[event.step]
      var row = rows[label] ?? Row(label: label)
      row.seconds += (event.end - event.start) / Double(event.lane == nil ? 1 : lanes)
      row.count += 1
      row.flops += flops[event.step]
      row.bytes += bytes[event.step]
      rows[label] = row
    }
    return rows.values.sorted { ($0.seconds, $1.label) > ($1.seconds, $0.label) }
  }

  /// The events as a Chrome trace (chrome://tracing, Perfetto): JSON.
  public var chromeTrace: String {
    let origin = events.map(\.start).min() ?? 0
    let lines = events.map { event in
      let label = labels[event.step].map { $0 == "\"" || $0 == "\\" ? " " : $0 }
      let start = (event.start - origin) * 1e6
      return
        #"{"name":"\#(String(label))","ph":"X","pid":1,"tid":\#((event.lane ?? 0) + 1),"ts":\#(start),"dur":\#((event.end - event.start) * 1e6)}"#
    }
    return "{\"traceEvents\":[\n\(lines.joined(separator: ",\n"))\n]}\n"
  }
}
