/// Matrix products of row-major operands.
#pragma once

/// Floats of workspace.
long ck_matmul_workspace(long m, long n, long k);

/// Y (m × n) = A (m × k) · B (k × n); transposed operands lie as (k × m) and (n × k). A row of Y does not depend on how many there are.
void ck_matmul(
  int transposed_a, int transposed_b, long m, long n, long k, const float *a, const float *b, float *y, float *workspace);
