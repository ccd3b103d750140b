/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes a patch for klp_rs of patch.c: what it needs of linux/livepatch.h, which is left out, is in klp_rs.h under other
 * names.
 */
#define _LINUX_LIVEPATCH_H_

#include <klp_rs.h>

#define klp_func klp_rs_func
#define klp_object klp_rs_object
#define klp_patch klp_rs_patch
#define klp_enable_patch klp_rs_enable_patch

/* The mark of a live patch: MODULE_INFO(livepatch, "Y"). */
#define livepatch klp_rs
