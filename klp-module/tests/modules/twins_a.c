// SPDX-License-Identifier: GPL-2.0-only
/*
 * twins.ko: two functions of one name, in two files. Each parameter says what one of them returns.
 */
#include <linux/module.h>

#include "twins.h"

TWIN(a, 1);

MODULE_DESCRIPTION("klp_rs tests: two functions of one name");
MODULE_LICENSE("GPL");
