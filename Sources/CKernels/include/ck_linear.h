/// Linear layers of a few rows, such as the embedding of a timestep for each image.
#pragma once

/// y (m × n) = x (m × k) · wᵀ, w (n × k), all row-major. A row of y has the same bits however many rows there are.
void ck_linear(const float *x, const float *w, float *y, long m, long n, long k);
