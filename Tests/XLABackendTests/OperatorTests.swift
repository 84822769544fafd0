import TensorGraph
import TestSupport
import Testing
import XLABackend

/// Every operator and its gradient through a PJRT plugin against the reference backend.
@Suite("Operators on XLA", .needsPlugin)
struct OperatorTests {
  @Test(arguments: OperatorCase.all)
  func agreesWithTheReference(_ operatorCase: OperatorCase) throws {
    let expected = try operatorCase.run(on: ReferenceBackend(), gradients: operatorCase.hasGradients)
    let backend = try TestPlugin.backend()
    // As states, kernels lie on the device in an order of their own.
    let found = try operatorCase.run(on: backend, gradients: operatorCase.hasGradients, parameters: .states)
    #expect(Set(found.keys) == Set(expected.keys))
    for (name, reference) in expected {
      let result = try #require(found[name])
      #expect(result.shape == reference.shape)
      if operatorCase.isSpecial {
        expectSameKinds(result.floats, reference.floats, name)
      } else if reference.floats.allSatisfy({ abs($0) < 1e-6 }) {
        // Zero in exact arithmetic: the gradient of a shift before a norm of one channel a group.
        let mean = result.floats.reduce(0) { $0 + Double($1 * $1) } / Double(result.floats.count)
        expect(mean.squareRoot(), atMost: 1e-5, "\(operatorCase.name) \(name), which is zero")
      } else {
        let bound = name.hasPrefix("d.") ? operatorCase.tolerance.gradient : operatorCase.tolerance.forward
        expect(relativeError(result, reference), atMost: bound, "\(operatorCase.name) \(name)")
      }
    }
  }

  /// NaN where there is NaN, the same infinities, and finite numbers that agree.
  private func expectSameKinds(_ found: [Float], _ expected: [Float], _ name: String) {
    for (index, (a, b)) in zip(found, expected).enumerated() {
      let agrees = b.isNaN ? a.isNaN : b.isInfinite ? a == b : a.isFinite && abs(a - b) <= 1e-4 * max(1, abs(b))
      #expect(agrees, "\(name)[\(index)] is \(a), expected \(b)")
    }
  }
}
