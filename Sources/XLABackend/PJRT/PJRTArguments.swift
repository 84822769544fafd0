import CPJRT

/// The argument of a function of the PJRT C API: a struct that begins with its own size, so that caller and plugin may be of different
/// versions.
protocol PJRTArguments {
  init()
  var struct_size: Int { get set }
  static var function: PJRTFunction { get }
}

/// A function's place in the plugin's table, and the size of its argument that this header knows.
struct PJRTFunction {
  let entry: PartialKeyPath<PJRT_Api>
  let size: Int

  init(_ entry: PartialKeyPath<PJRT_Api>, _ size: Int) { (self.entry, self.size) = (entry, size) }
}

extension PJRTArguments {
  /// All zero but the size, as the API demands, then filled.
  init(_ fill: (inout Self) -> Void) {
    self.init()
    struct_size = Self.function.size
    fill(&self)
  }
}

extension PJRT_Error_Destroy_Args: PJRTArguments {
  static var function: PJRTFunction { .init(\.PJRT_Error_Destroy, Int(PJRT_Error_Destroy_Args_STRUCT_SIZE)) }
}
extension PJRT_Error_Message_Args: PJRTArguments {
  static var function: PJRTFunction { .init(\.PJRT_Error_Message, Int(PJRT_Error_Message_Args_STRUCT_SIZE)) }
}
extension PJRT_Error_GetCode_Args: PJRTArguments {
  static var function: PJRTFunction { .init(\.PJRT_Error_GetCode, Int(PJRT_Error_GetCode_Args_STRUCT_SIZE)) }
}
extension PJRT_Plugin_Initialize_Args: PJRTArguments {
  static var function: PJRTFunction { .init(\.PJRT_Plugin_Initialize, Int(PJRT_Plugin_Initialize_Args_STRUCT_SIZE)) }
}
extension PJRT_Plugin_Attributes_Args: PJRTArguments {
  static var function: PJRTFunction { .init(\.PJRT_Plugin_Attributes, Int(PJRT_Plugin_Attributes_Args_STRUCT_SIZE)) }
}
extension PJRT_Event_Await_Args: PJRTArguments {
  static var function: PJRTFunction { .init(\.PJRT_Event_Await, Int(PJRT_Event_Await_Args_STRUCT_SIZE)) }
}
extension PJRT_Event_Destroy_Args: PJRTArguments {
  static var function: PJRTFunction { .init(\.PJRT_Event_Destroy, Int(PJRT_Event_Destroy_Args_STRUCT_SIZE)) }
}
extension PJRT_Client_Create_Args: PJRTArguments {
  static var function: PJRTFunction { .init(\.PJRT_Client_Create, Int(PJRT_Client_Create_Args_STRUCT_SIZE)) }
}
extension PJRT_Client_Destroy_Args: PJRTArguments {
  static var function: PJRTFunction { .init(\.PJRT_Client_Destroy, Int(PJRT_Client_Destroy_Args_STRUCT_SIZE)) }
}
extension PJRT_Client_PlatformName_Args: PJRTArguments {
  static var function: PJRTFunction {
    .init(\.PJRT_Client_PlatformName, Int(PJRT_Client_PlatformName_Args_STRUCT_SIZE))
  }
}
extension PJRT_Client_PlatformVersion_Args: PJRTArguments {
  static var function: PJRTFunction {
    .init(\.PJRT_Client_PlatformVersion, Int(PJRT_Client_PlatformVersion_Args_STRUCT_SIZE))
  }
}
extension PJRT_Client_AddressableDevices_Args: PJRTArguments {
  static var function: PJRTFunction {
    .init(\.PJRT_Client_AddressableDevices, Int(PJRT_Client_AddressableDevices_Args_STRUCT_SIZE))
  }
}
extension PJRT_Client_Compile_Args: PJRTArguments {
  static var function: PJRTFunction { .init(\.PJRT_Client_Compile, Int(PJRT_Client_Compile_Args_STRUCT_SIZE)) }
}
extension PJRT_Client_BufferFromHostBuffer_Args: PJRTArguments {
  static var function: PJRTFunction {
    .init(\.PJRT_Client_BufferFromHostBuffer, Int(PJRT_Client_BufferFromHostBuffer_Args_STRUCT_SIZE))
  }
}
extension PJRT_Device_GetDescription_Args: PJRTArguments {
  static var function: PJRTFunction {
    .init(\.PJRT_Device_GetDescription, Int(PJRT_Device_GetDescription_Args_STRUCT_SIZE))
  }
}
extension PJRT_Device_MemoryStats_Args: PJRTArguments {
  static var function: PJRTFunction { .init(\.PJRT_Device_MemoryStats, Int(PJRT_Device_MemoryStats_Args_STRUCT_SIZE)) }
}
extension PJRT_DeviceDescription_Kind_Args: PJRTArguments {
  static var function: PJRTFunction {
    .init(\.PJRT_DeviceDescription_Kind, Int(PJRT_DeviceDescription_Kind_Args_STRUCT_SIZE))
  }
}
extension PJRT_Buffer_ToHostBuffer_Args: PJRTArguments {
  static var function: PJRTFunction {
    .init(\.PJRT_Buffer_ToHostBuffer, Int(PJRT_Buffer_ToHostBuffer_Args_STRUCT_SIZE))
  }
}
extension PJRT_Buffer_Destroy_Args: PJRTArguments {
  static var function: PJRTFunction { .init(\.PJRT_Buffer_Destroy, Int(PJRT_Buffer_Destroy_Args_STRUCT_SIZE)) }
}
extension PJRT_LoadedExecutable_GetExecutable_Args: PJRTArguments {
  static var function: PJRTFunction {
    .init(\.PJRT_LoadedExecutable_GetExecutable, Int(PJRT_LoadedExecutable_GetExecutable_Args_STRUCT_SIZE))
  }
}
extension PJRT_LoadedExecutable_Execute_Args: PJRTArguments {
  static var function: PJRTFunction {
    .init(\.PJRT_LoadedExecutable_Execute, Int(PJRT_LoadedExecutable_Execute_Args_STRUCT_SIZE))
  }
}
extension PJRT_LoadedExecutable_Destroy_Args: PJRTArguments {
  static var function: PJRTFunction {
    .init(\.PJRT_LoadedExecutable_Destroy, Int(PJRT_LoadedExecutable_Destroy_Args_STRUCT_SIZE))
  }
}
extension PJRT_Executable_GetCompiledMemoryStats_Args: PJRTArguments {
  static var function: PJRTFunction {
    .init(\.PJRT_Executable_GetCompiledMemoryStats, Int(PJRT_Executable_GetCompiledMemoryStats_Args_STRUCT_SIZE))
  }
}
extension PJRT_Executable_Serialize_Args: PJRTArguments {
  static var function: PJRTFunction {
    .init(\.PJRT_Executable_Serialize, Int(PJRT_Executable_Serialize_Args_STRUCT_SIZE))
  }
}
extension PJRT_Executable_DeserializeAndLoad_Args: PJRTArguments {
  static var function: PJRTFunction {
    .init(\.PJRT_Executable_DeserializeAndLoad, Int(PJRT_Executable_DeserializeAndLoad_Args_STRUCT_SIZE))
  }
}
extension PJRT_Executable_Destroy_Args: PJRTArguments {
  static var function: PJRTFunction { .init(\.PJRT_Executable_Destroy, Int(PJRT_Executable_Destroy_Args_STRUCT_SIZE)) }
}
extension PJRT_DeviceDescription_Id_Args: PJRTArguments {
  static var function: PJRTFunction {
    .init(\.PJRT_DeviceDescription_Id, Int(PJRT_DeviceDescription_Id_Args_STRUCT_SIZE))
  }
}
