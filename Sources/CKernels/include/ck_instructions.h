/// The instructions that the kernels are compiled for.
#pragma once

/// The widest that this processor has, as it is called: "AVX-512", "AVX2", …
const char *ck_instructions(void);
