// SPDX-License-Identifier: GPL-2.0-only
/*
 * The other of the two: see twins_a.c.
 */
#include <linux/module.h>

#include "twins.h"

TWIN(b, 2);
