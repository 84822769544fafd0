/// The memory that the C library manages.
#pragma once

/// Gives the system back what was freed, where the C library keeps it and says how.
void ck_return_freed_memory(void);
