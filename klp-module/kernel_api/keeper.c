// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one traced function of this module. Nobody calls it. It stays in the filter of the core's ftrace_ops for as long as
 * that is registered, because a registered ops with an empty filter means every function of the kernel
 * (kernel/trace/ftrace.c: an empty filter hash matches all).
 */
#include "klp_rs_glue.h"

__attribute__((noipa)) void klp_rs_keeper(void)
{
	barrier();
}
