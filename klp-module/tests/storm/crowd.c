// SPDX-License-Identifier: GPL-2.0-only
/*
 * storm crowd COUNT: that many children of one parent, who sleep in the kernel between orders, which are lines read:
 *
 *   call   each child reads /proc/agree/call once; answers "v1 N v2 N v3 N", how many got which version
 *   thin   the same, and who got version 1 leaves
 *
 * Says "there" when all are; at the end of the input all leave.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storm.h"

enum order { CALL, THIN, LEAVE };

static struct shared {
	/* Children wait for a change of it. */
	atomic_int round;
	_Atomic enum order order;
	atomic_int answers;
	atomic_int versions[10];
} *shared;

static char version(void)
{
	char read_ = 0;
	int file = open("/proc/agree/call", O_RDONLY);

	if (file >= 0) {
		if (read(file, &read_, 1) != 1)
			read_ = 0;
		close(file);
	}
	return read_;
}

static void child(void)
{
	int seen = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int got;

		while (atomic_load(&shared->round) == seen)
			syscall(SYS_futex, &shared->round, FUTEX_WAIT, seen, NULL, NULL, 0);
		seen++;
		if (shared->order == LEAVE)
			_exit(0);
		got = version() - '0';
		if (got < 0 || got > 9)
			got = 0;
		atomic_fetch_add(&shared->versions[got], 1);
		atomic_fetch_add(&shared->answers, 1);
		if (shared->order == THIN && got == 1)
			_exit(0);
	}
}

static void tell(enum order order)
{
	memset(shared->versions, 0, sizeof(shared->versions));
	atomic_store(&shared->answers, 0);
	shared->order = order;
	atomic_fetch_add(&shared->round, 1);
	syscall(SYS_futex, &shared->round, FUTEX_WAKE, 1 << 30, NULL, NULL, 0);
}

int crowd(int count)
{
	char line[32];
	int i;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	for (i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (!pid)
			child();
	}
	puts("there");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		bool thins = !strncmp(line, "thin", 4);

		tell(thins ? THIN : CALL);
		for (i = 0; i < 20000 && atomic_load(&shared->answers) < count; i++)
			usleep(1000);
		printf("v1 %d v2 %d v3 %d\n", shared->versions[1], shared->versions[2], shared->versions[3]);
		fflush(stdout);
		for (i = thins ? shared->versions[1] : 0; i > 0; i--, count--)
			wait(NULL);
	}
	tell(LEAVE);
	while (wait(NULL) > 0)
		;
	return 0;
}
