/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A function twin() that returns @_number, and a parameter @_name that calls it.
 */
#ifndef TWINS_H
#define TWINS_H

#include <linux/moduleparam.h>
#include <linux/sysfs.h>

#define TWIN(_name, _number)								\
	static __attribute__((__noipa__)) int twin(void)				\
	{										\
		/* Nothing that could be inlined or folded. */				\
		asm volatile("");							\
		return _number;								\
	}										\
	static int twin_get(char *text, const struct kernel_param *unused)		\
	{										\
		return sysfs_emit(text, "%d\n", twin());						\
	}										\
	static const struct kernel_param_ops twin_ops = { .get = twin_get };		\
	module_param_cb(_name, &twin_ops, NULL, 0444)

#endif
