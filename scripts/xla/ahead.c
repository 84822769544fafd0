// Compiles a StableHLO file for a device that is not there, by a plugin's own ahead-of-time compiler.
//
//   ahead PLUGIN STEP.mlir TARGET.txtpb TOPOLOGY     TARGET: a GpuTargetConfigProto; TOPOLOGY: 1x1x1 for one device, 1x1x2 for two
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pjrt_c_api.h"

static const PJRT_Api *api;

#define SIZED(type) .struct_size = type##_STRUCT_SIZE

static void check(PJRT_Error *error, const char *what) {
  if (!error) return;
  PJRT_Error_Message_Args message = {SIZED(PJRT_Error_Message_Args), .error = error};
  api->PJRT_Error_Message(&message);
  fprintf(stderr, "%s: %.*s\n", what, (int)message.message_size, message.message);
  exit(1);
}

static char *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END)) {
    perror(path);
    exit(1);
  }
  *size = (size_t)ftell(file);
  rewind(file);
  char *bytes = malloc(*size);
  if (!bytes || fread(bytes, 1, *size, file) != *size) {
    perror(path);
    exit(1);
  }
  fclose(file);
  return bytes;
}

int main(int count, char **argument) {
  if (count != 5) {
    fprintf(stderr, "usage: ahead PLUGIN STEP.mlir TARGET.txtpb TOPOLOGY\n");
    return 2;
  }
  void *library = dlopen(argument[1], RTLD_NOW | RTLD_LOCAL);
  const PJRT_Api *(*entry)(void) = library ? (const PJRT_Api *(*)(void))dlsym(library, "GetPjrtApi") : NULL;
  if (!entry) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  api = entry();
  PJRT_Plugin_Initialize_Args start = {SIZED(PJRT_Plugin_Initialize_Args)};
  check(api->PJRT_Plugin_Initialize(&start), "PJRT_Plugin_Initialize");

  size_t target_size, text_size;
  char *target = read_file(argument[3], &target_size), *text = read_file(argument[2], &text_size);
  PJRT_NamedValue options[2] = {
      {SIZED(PJRT_NamedValue), .name = "target_config", .name_size = 13, .type = PJRT_NamedValue_kString, .string_value = target,
       .value_size = target_size},
      {SIZED(PJRT_NamedValue), .name = "topology", .name_size = 8, .type = PJRT_NamedValue_kString, .string_value = argument[4],
       .value_size = strlen(argument[4])}};
  PJRT_TopologyDescription_Create_Args topology = {
      SIZED(PJRT_TopologyDescription_Create_Args), .topology_name = "", .create_options = options, .num_options = 2};
  check(api->PJRT_TopologyDescription_Create(&topology), "PJRT_TopologyDescription_Create");

  // executable_build_options { num_replicas, num_partitions 1 }
  char replicas = (char)atoi(strrchr(argument[4], 'x') + 1), compile_options[] = {0x1a, 4, 0x20, replicas, 0x28, 1};
  PJRT_Program program = {SIZED(PJRT_Program), .code = text, .code_size = text_size, .format = "mlir", .format_size = 4};
  PJRT_Compile_Args compile = {
      SIZED(PJRT_Compile_Args), .topology = topology.topology, .program = &program, .compile_options = compile_options,
      .compile_options_size = sizeof compile_options};
  struct timespec before, after;
  clock_gettime(CLOCK_MONOTONIC, &before);
  check(api->PJRT_Compile(&compile), "PJRT_Compile");
  clock_gettime(CLOCK_MONOTONIC, &after);

  PJRT_Executable_GetCompiledMemoryStats_Args memory = {
      SIZED(PJRT_Executable_GetCompiledMemoryStats_Args), .executable = compile.executable};
  check(api->PJRT_Executable_GetCompiledMemoryStats(&memory), "PJRT_Executable_GetCompiledMemoryStats");
  printf(
      "compiled in %.0f s by PJRT %d.%d: arguments %.1f MB, of which %.1f MB become results; temporary %.1f MB\n",
      (double)(after.tv_sec - before.tv_sec), api->pjrt_api_version.major_version, api->pjrt_api_version.minor_version,
      memory.argument_size_in_bytes / 1e6, memory.alias_size_in_bytes / 1e6, memory.temp_size_in_bytes / 1e6);
  return 0;
}
