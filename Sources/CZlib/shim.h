#pragma once
#include <zlib.h>

// inflateInit2 is a macro, which Swift cannot see. 16 + 15: a gzip header, the largest window.
static inline int czlib_inflate_start(z_stream *stream) { return inflateInit2(stream, 16 + MAX_WBITS); }
