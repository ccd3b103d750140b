// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench FILE.ko SYSFS SLEEPERS: enables the patch with so many sleeping processes around, disables it, and prints how long
 * each took until every task had moved, in microseconds. Static, for an initramfs. Judges nothing.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000L + time.tv_nsec / 1000;
}

/* Asks every 200 microseconds, and says whether the file had itself announced. */
static long wait_for_end(const char *path, int *told)
{
	struct pollfd poll_file = { .fd = open(path, O_RDONLY), .events = POLLPRI };
	struct timespec step = { .tv_nsec = 200000 };
	char text;

	*told = 0;
	while (pread(poll_file.fd, &text, 1, 0) == 1 && text == '1')
		if (ppoll(&poll_file, 1, &step, NULL) > 0 && poll_file.revents & POLLPRI)
			*told = 1;
	close(poll_file.fd);
	return now();
}

int main(int argc, char **argv)
{
	int sleepers = argc > 3 ? atoi(argv[3]) : 0, module, control, told, i;
	long begun, returned, ended;
	char path[256];

	if (argc < 3)
		return 2;
	for (i = 0; i < sleepers; i++)
		if (!fork()) {
			pause();
			_exit(0);
		}
	usleep(500000);
	snprintf(path, sizeof(path), "%s/transition", argv[2]);
	module = open(argv[1], O_RDONLY);
	begun = now();
	if (syscall(SYS_finit_module, module, "", 0)) {
		perror(argv[1]);
		return 1;
	}
	returned = now();
	ended = wait_for_end(path, &told);
	printf("%s sleepers %d enable: load %ld us, then %ld us%s\n", argv[2], sleepers,
	       returned - begun, ended - returned, told ? ", announced" : "");
	usleep(300000);
	snprintf(path, sizeof(path), "%s/enabled", argv[2]);
	control = open(path, O_WRONLY);
	begun = now();
	if (write(control, "0", 1) != 1)
		perror(path);
	returned = now();
	close(control);
	snprintf(path, sizeof(path), "%s/transition", argv[2]);
	ended = wait_for_end(path, &told);
	printf("%s sleepers %d disable: write %ld us, then %ld us%s\n", argv[2], sleepers,
	       returned - begun, ended - returned, told ? ", announced" : "");
	fflush(stdout);
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	while (wait(NULL) > 0)
		;
	return 0;
}
