// SPDX-License-Identifier: GPL-2.0-only
/*
 * A caller through io_uring, without liburing. Every read is asked for with IOSQE_ASYNC, so it is done by a worker, which
 * never returns to user space. Rings are made anew again and again: workers are forked while patches come and go.
 */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "storm.h"

/* At once, so that there are several workers. */
#define READS 4
#define ROUNDS_OF_A_RING 50

struct ring {
	int file;
	void *queues;
	size_t size;
	struct io_uring_sqe *requests;
	struct io_uring_params at;
};

static bool ring_open(struct ring *ring)
{
	memset(ring, 0, sizeof(*ring));
	ring->file = syscall(SYS_io_uring_setup, READS, &ring->at);
	if (ring->file < 0) {
		perror("storm: io_uring_setup");
		return false;
	}
	/* Both queues are in one mapping (IORING_FEAT_SINGLE_MMAP, since 5.4): as long as the longer one needs. */
	ring->size = ring->at.cq_off.cqes + ring->at.cq_entries * sizeof(struct io_uring_cqe);
	if (ring->size < ring->at.sq_off.array + ring->at.sq_entries * sizeof(unsigned int))
		ring->size = ring->at.sq_off.array + ring->at.sq_entries * sizeof(unsigned int);
	ring->queues = mmap(NULL, ring->size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->file, IORING_OFF_SQ_RING);
	ring->requests = mmap(NULL, READS * sizeof(*ring->requests), PROT_READ | PROT_WRITE, MAP_SHARED, ring->file,
			      IORING_OFF_SQES);
	if (ring->queues == MAP_FAILED || ring->requests == MAP_FAILED) {
		perror("storm: io_uring mmap");
		return false;
	}
	return true;
}

static void ring_close(struct ring *ring)
{
	munmap(ring->requests, READS * sizeof(*ring->requests));
	munmap(ring->queues, ring->size);
	close(ring->file);
}

static unsigned int *field(struct ring *ring, unsigned int offset)
{
	return (unsigned int *)((char *)ring->queues + offset);
}

/* READS reads, all awaited. */
static bool ring_read(struct ring *ring, int file)
{
	static char versions[READS];
	unsigned int tail = *field(ring, ring->at.sq_off.tail), mask = *field(ring, ring->at.sq_off.ring_mask), i;
	unsigned int head;

	for (i = 0; i < READS; i++, tail++) {
		ring->requests[i] = (struct io_uring_sqe){
			.opcode = IORING_OP_READ,
			.flags = IOSQE_ASYNC,
			.fd = file,
			.addr = (unsigned long)&versions[i],
			.len = 1,
		};
		field(ring, ring->at.sq_off.array)[tail & mask] = i;
	}
	__atomic_store_n(field(ring, ring->at.sq_off.tail), tail, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring->file, READS, READS, IORING_ENTER_GETEVENTS, NULL, 0) != READS) {
		perror("storm: io_uring_enter");
		return false;
	}
	mask = *field(ring, ring->at.cq_off.ring_mask);
	head = *field(ring, ring->at.cq_off.head);
	tail = __atomic_load_n(field(ring, ring->at.cq_off.tail), __ATOMIC_ACQUIRE);
	for (; head != tail; head++) {
		struct io_uring_cqe *done = (struct io_uring_cqe *)((char *)ring->queues + ring->at.cq_off.cqes);

		if (done[head & mask].res != 1) {
			fprintf(stderr, "storm: io_uring read: %s\n", strerror(-done[head & mask].res));
			return false;
		}
	}
	__atomic_store_n(field(ring, ring->at.cq_off.head), head, __ATOMIC_RELEASE);
	return true;
}

void uring_caller(void)
{
	int file = open("/proc/agree/call", O_RDONLY);
	bool well = true;

	while (well && !ended()) {
		struct ring ring;
		int i;

		well = ring_open(&ring);
		if (!well)
			return;
		for (i = 0; well && i < ROUNDS_OF_A_RING && !ended(); i++)
			well = ring_read(&ring, file);
		ring_close(&ring);
	}
}
