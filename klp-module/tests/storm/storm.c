// SPDX-License-Identifier: GPL-2.0-only
/*
 * storm SECONDS [WAY...]: calls /proc/agree/call from processes that sleep, spin, fork, make threads and use io_uring, and
 * reads all that klp_rs shows in sysfs meanwhile; or in the ways named only, each as often as it is named. Ends early when it
 * gets SIGTERM. Static, for an initramfs. Says nothing about versions: /proc/agree/count does.
 *
 * storm watch FILE: see watch(). storm attach fentry|fexit FUNCTION, storm trampoline: see program.c. storm crowd COUNT: see crowd().
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "storm.h"

static time_t deadline;

bool ended(void)
{
	return time(NULL) >= deadline;
}

static void enter(const char *path)
{
	char version;
	int file = open(path, O_RDONLY);

	if (file >= 0) {
		(void)!read(file, &version, 1);
		close(file);
	}
}

static void call(void)
{
	enter("/proc/agree/call");
}

/* Hardly ever outside of the two functions or of the way into them. */
static void burster(void)
{
	while (!ended())
		enter("/proc/agree/burst");
}

static void sleeper(void)
{
	while (!ended()) {
		call();
		usleep(500);
	}
}

/* Rarely in the kernel: moves by interrupt or when preempted. */
static void spinner(void)
{
	volatile unsigned int turn = 0;

	while (!ended()) {
		while (++turn % 200000)
			;
		call();
	}
}

static void caller(void)
{
	char version;
	int file = open("/proc/agree/call", O_RDONLY);

	while (!ended())
		(void)!read(file, &version, 1);
}

static void forker(void)
{
	while (!ended()) {
		if (!fork()) {
			call();
			call();
			call();
			_exit(0);
		}
		call();
		wait(NULL);
	}
}

static void *thread(void *unused)
{
	call();
	return unused;
}

static void threader(void)
{
	pthread_t one, two;

	while (!ended()) {
		pthread_create(&one, NULL, thread, NULL);
		pthread_create(&two, NULL, thread, NULL);
		call();
		pthread_join(one, NULL);
		pthread_join(two, NULL);
	}
}

/*
 * Children that are in the patched functions before they ever were in user space: the kernel writes a child's number to
 * where CLONE_CHILD_SETTID says (kernel/sched/core.c:schedule_tail), which is not there yet, and its page fault is a call.
 */
static void faulter(void)
{
	int file = open("/proc/agree/map", O_RDWR);
	pid_t *there = mmap(NULL, sizeof(*there), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	if (there == MAP_FAILED) {
		perror("storm: /proc/agree/map");
		return;
	}
	while (!ended()) {
		if (!syscall(SYS_clone, CLONE_CHILD_SETTID | SIGCHLD, NULL, NULL, there, NULL))
			syscall(SYS_exit_group, 0);
		wait(NULL);
	}
}

static const struct way {
	const char *name;
	void (*run)(void);
	unsigned int processes;
} ways[] = {
	{ "sleep", sleeper, 2 },
	{ "spin", spinner, 1 },
	{ "call", caller, 1 },
	{ "burst", burster, 2 },
	{ "fork", forker, 2 },
	{ "thread", threader, 1 },
	{ "fault", faulter, 2 },
	{ "uring", uring_caller, 2 },
	{ "sysfs", sysfs_reader, 1 },
	{ "poll", sysfs_poller, 1 },
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static pid_t children[64];
static unsigned int count;

static void start(const struct way *way)
{
	pid_t child = count < sizeof(children) / sizeof(children[0]) ? fork() : -1;

	if (!child) {
		way->run();
		exit(0);
	}
	if (child > 0)
		children[count++] = child;
}

static void stop(int signal)
{
	unsigned int i;

	(void)signal;
	for (i = 0; i < count; i++)
		kill(children[i], SIGKILL);
}

int main(int argc, char **argv)
{
	unsigned int i, j;

	if (argc == 3 && !strcmp(argv[1], "watch"))
		return watch(argv[2]);
	if (argc == 2 && !strcmp(argv[1], "trampoline"))
		return trampoline();
	if (argc == 4 && !strcmp(argv[1], "attach"))
		return attach(argv[2], argv[3]);
	if (argc == 3 && !strcmp(argv[1], "crowd"))
		return crowd(atoi(argv[2]));
	deadline = time(NULL) + (argc > 1 ? atoi(argv[1]) : 10);
	for (i = 0; argc <= 2 && i < WAYS; i++)
		for (j = 0; j < ways[i].processes; j++)
			start(&ways[i]);
	for (j = 2; (int)j < argc; j++)
		for (i = 0; i < WAYS; i++)
			if (!strcmp(argv[j], ways[i].name))
				start(&ways[i]);
	signal(SIGTERM, stop);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	return 0;
}
