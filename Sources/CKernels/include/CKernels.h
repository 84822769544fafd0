#pragma once
#include "ck_amx.h"
#include "ck_parallel.h"
