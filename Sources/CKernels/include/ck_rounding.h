/// Numbers kept in 16 bits: bfloat16, the upper half of a float. Two make a word, the first in its low half.
#pragma once
#include <stdint.h>

/// Words of 16 numbers each: word r·16 + i has x[r][0][i] and x[r][1][i], x [rows][2][16] rounded to the nearest even. What is not a number stays
/// so.
void ck_round_pairs(const float *x, uint32_t *words, long rows);

/// Exactly what the words have.
void ck_widen_pairs(const uint32_t *words, float *x, long rows);
