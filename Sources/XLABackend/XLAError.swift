/// What can go wrong between a tensor program and an accelerator.
public enum XLAError: Error, CustomStringConvertible {
  /// A name that stands for no accelerator.
  case unknownDevice(String, known: [String])
  /// No plugin for a device: where it was looked for, and the line that installs it.
  case noPlugin(device: String, searched: [String], install: String)
  /// A file that is no PJRT plugin, or one that cannot be used here.
  case unusablePlugin(path: String, reason: String)
  /// A device is named twice.
  case repeatedDevice(Int)
  /// A plugin has fewer devices than were asked for.
  case noDevice(plugin: String, index: Int, count: Int)
  /// A plugin whose devices do not work together with those of other processes.
  case noCluster(plugin: String, expected: Int, found: Int)
  /// A function of the PJRT C API failed. `code` is the API's.
  case call(String, plugin: String, code: Int, message: String)
  /// A program that the plugin's compiler refused, with the operator at fault where the compiler names a line.
  case compilation(operator: String?, plugin: String, version: String, message: String)

  /// The API's code for memory that ran out.
  static let outOfMemory = 8

  public var description: String {
    switch self {
    case .unknownDevice(let name, let known): "there is no device \(name); choose \(known.joined(separator: ", "))"
    case .noPlugin(let device, let searched, let install):
      "no plugin for \(device) was found (looked at \(searched.joined(separator: ", "))); install one with `\(install)`, or name its file: xla:PATH"
    case .unusablePlugin(let path, let reason): "\(path) cannot be used as a PJRT plugin: \(reason)"
    case .repeatedDevice(let index): "device \(index) is named twice"
    case .noDevice(let plugin, let index, let count):
      "\(plugin) has no device \(index): it has \(count), counted from 0"
    case .noCluster(let plugin, let expected, let found):
      "\(plugin) does not join devices of several processes: it sees those of \(found), not of \(expected); leave out --reduction device"
    case .call(let function, let plugin, let code, let message):
      "\(function) of \(plugin) failed\(code == Self.outOfMemory ? " for want of memory (a smaller batch needs less)" : ""): \(message)"
    case .compilation(let op, let plugin, let version, let message):
      "\(plugin) (\(version)) cannot compile \(op ?? "the program"): \(message)"
    }
  }
}
