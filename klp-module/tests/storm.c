// SPDX-License-Identifier: GPL-2.0-only
/*
 * storm SECONDS: calls /proc/agree/call from processes that sleep, spin, fork and make threads, and prints how often.
 * Static, for an initramfs. Says nothing about versions: /proc/agree/count does.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static time_t deadline;

static int ended(void)
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

int main(int argc, char **argv)
{
	void (*const ways[])(void) = { sleeper, sleeper, spinner, caller, burster, burster, forker, forker, threader };
	unsigned int i;

	deadline = time(NULL) + (argc > 1 ? atoi(argv[1]) : 10);
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (!fork()) {
			ways[i]();
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	return 0;
}
