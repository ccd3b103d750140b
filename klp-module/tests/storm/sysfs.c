// SPDX-License-Identifier: GPL-2.0-only
/*
 * Readers of what klp_rs shows in sysfs, while patches come and go. What the files say is for others to judge; here it only
 * counts that they could be read, and that a change of `transition` wakes those who poll it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storm.h"

#define PATCHES "/sys/kernel/klp_rs"

/* Until a change must have been told. */
#define WITHIN_MS 10000

static unsigned long seen, had;

/* Stats, reads and polls a file; files may go at any moment. */
static void read_file(const char *path)
{
	struct stat stat_;
	char text[64];
	int file;

	if (stat(path, &stat_))
		return;
	seen++;
	file = open(path, O_RDONLY);
	if (file < 0)
		return;
	if (read(file, text, sizeof(text)) > 0)
		had++;
	poll(&(struct pollfd){ .fd = file, .events = POLLPRI }, 1, 0);
	close(file);
}

static void read_folder(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;

	if (!folder)
		return;
	while ((entry = readdir(folder))) {
		char below[PATH_MAX];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		if (entry->d_type == DT_DIR)
			read_folder(below);
		else
			read_file(below);
	}
	closedir(folder);
}

void sysfs_reader(void)
{
	while (!ended()) {
		read_folder(PATCHES);
		/* Now and then there is no patch. */
		usleep(1000);
	}
	printf("sysfs_files %lu read %lu\n", seen, had);
}

/* Reads a file of one digit from its beginning; -1: it has gone. */
static int digit(int file)
{
	char text;

	return pread(file, &text, 1, 0) == 1 ? text - '0' : -1;
}

/*
 * Waits for the end of the transitions that it meets: one that ends between the reading and the waiting is told, too
 * (fs/kernfs/file.c:kernfs_seq_show notes where it was). Who is told of a removal may find the file gone.
 */
void sysfs_poller(void)
{
	unsigned long met = 0, told = 0, ends = 0;

	while (!ended()) {
		DIR *folder = opendir(PATCHES);
		struct dirent *entry;

		while (folder && (entry = readdir(folder))) {
			char path[PATH_MAX];
			struct pollfd file = { .events = POLLPRI };

			snprintf(path, sizeof(path), PATCHES "/%s/transition", entry->d_name);
			file.fd = open(path, O_RDONLY);
			if (file.fd < 0)
				continue;
			if (digit(file.fd) == 1) {
				met++;
				if (poll(&file, 1, WITHIN_MS) == 1 && file.revents & POLLPRI) {
					told++;
					ends += digit(file.fd) == 0;
				}
			}
			close(file.fd);
		}
		if (folder)
			closedir(folder);
		usleep(1000);
	}
	printf("transitions met %lu told %lu ended %lu\n", met, told, ends);
}

/* Says what is in the file, waits until it is told of a change, and says what is there then. */
int watch(const char *path)
{
	struct pollfd file = { .fd = open(path, O_RDONLY), .events = POLLPRI };
	int told;

	if (file.fd < 0) {
		perror(path);
		return 1;
	}
	printf("was %d\n", digit(file.fd));
	fflush(stdout);
	told = poll(&file, 1, WITHIN_MS) == 1 && file.revents & POLLPRI;
	printf("%s %d\n", told ? "told" : "not told", digit(file.fd));
	return !told;
}
