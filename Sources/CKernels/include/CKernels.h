/// C kernels, with SIMD chosen at run time.
///
/// Conventions, for every kernel of this module:
/// - Tensors are dense FP32. *Plain* is [N][C][H·W]; *blocked* is nChw16c, [N][⌈C/16⌉][H·W][16], whose padded lanes 
///   (C % 16 ≠ 0) are zero on entry and on return.
/// - Sizes count elements (not bytes). A workspace is `*_workspace` floats, 64-byte aligned, overwritten, free for
///   other use afterwards.
///   Its size depends on `ck_threads()`: ask after setting the threads.
/// - Pointers must not overlap unless the function says so; nullable ones say so.
/// - Results are the same, bit for bit, from run to run for a given thread count and instruction set.
/// - Call from one host thread at a time (libgomp keeps one pool a host thread).
#pragma once

#include "ck_instructions.h"
#include "ck_parallel.h"
#include "ck_layout.h"
#include "ck_memory.h"
#include "ck_rounding.h"
#include "ck_elementwise.h"
#include "ck_norm.h"
#include "ck_winograd.h"
#include "ck_direct.h"
#include "ck_linear.h"
#include "ck_matmul.h"
#include "ck_thin.h"
#include "ck_attention.h"
#include "ck_bf16.h"
#include "ck_optimizer.h"
#include "ck_random.h"
#if __has_include("ck_amx.h")
#include "ck_amx.h"
#endif
