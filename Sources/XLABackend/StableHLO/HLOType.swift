import TensorGraph

/// The type of a value in StableHLO: `tensor<2x3xf32>`.
struct HLOType: Hashable {
  enum Element: String { case f32, bf16, i32, ui32, ui64, i1 }

  var shape: [Int]
  var element: Element

  init(_ shape: [Int], _ element: Element) { (self.shape, self.element) = (shape, element) }

  init(_ type: TensorType) { self.init(type.shape.dimensions, type.dtype == .float ? .f32 : .i32) }

  var text: String { "tensor<\(shape.map { "\($0)x" }.joined())\(element.rawValue)>" }
  var rank: Int { shape.count }
  var count: Int { shape.reduce(1, *) }
}

/// A value of the module under construction: `%12`.
struct HLOValue {
  let writer: HLOWriter
  let name: String
  let type: HLOType

  var shape: [Int] { type.shape }
  var element: HLOType.Element { type.element }
}
