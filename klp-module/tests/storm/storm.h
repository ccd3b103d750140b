/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the storm share. */
#ifndef STORM_H
#define STORM_H

#include <stdbool.h>

/* storm.c */
bool ended(void);

/* uring.c: reads /proc/agree/call through io_uring, so that a worker of it enters the patched functions. */
void uring_caller(void);

/* crowd.c */
int crowd(int count);

/* sysfs.c */
void sysfs_reader(void);
void sysfs_poller(void);
int watch(const char *path);

/* program.c */
int attach(const char *where, const char *function);
int trampoline(void);

#endif
