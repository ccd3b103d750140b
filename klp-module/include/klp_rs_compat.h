/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For live patches that were written for the kernel's own core: compiled with "-include klp_rs_compat.h", an unmodified
 * source is a patch for klp_rs. Only names are given here; what they mean is in klp_rs.h, which has the same structures.
 *
 * Not for what objtool generates (relocations against symbols of modules that are not loaded): that is part of the kernel's
 * module loader. The patch module must include what it uses, because linux/livepatch.h, which is empty now, included
 * linux/module.h and linux/ftrace.h.
 */
#ifndef KLP_RS_COMPAT_H
#define KLP_RS_COMPAT_H

/* Before any other header: a source may yet define pr_fmt, so nothing that uses it may come from here. */
#define _LINUX_LIVEPATCH_H_
#define _LINUX_LIVEPATCH_EXTERNAL_H_

#include <klp_rs.h>

#define klp_func klp_rs_func
#define klp_object klp_rs_object
#define klp_callbacks klp_rs_callbacks
#define klp_state klp_rs_state
#define klp_patch klp_rs_patch

#define klp_enable_patch klp_rs_enable_patch
#define klp_get_state klp_rs_get_state
#define klp_get_prev_state klp_rs_get_prev_state

#define klp_shadow_ctor_t klp_rs_shadow_ctor_t
#define klp_shadow_dtor_t klp_rs_shadow_dtor_t
#define klp_shadow_get klp_rs_shadow_get
#define klp_shadow_alloc klp_rs_shadow_alloc
#define klp_shadow_get_or_alloc klp_rs_shadow_get_or_alloc
#define klp_shadow_free klp_rs_shadow_free
#define klp_shadow_free_all klp_rs_shadow_free_all

/*
 * MODULE_INFO(livepatch, "Y") becomes "klp_rs: Y". A kernel without CONFIG_LIVEPATCH refuses modules that are marked with
 * the former, others taint the kernel with it (kernel/module/main.c:check_modinfo_livepatch).
 */
#define livepatch klp_rs

#endif
