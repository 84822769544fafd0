#pragma once

/// The commit that this was built from, or an empty string: `scripts/release` alone says it (DDPM_COMMIT in Package.swift).
const char *ddpm_commit(void);

/// What the kernels may use of this processor, such as "AVX2 FMA"; an empty string where nothing beyond the architecture's base.
const char *ddpm_processor_features(void);
