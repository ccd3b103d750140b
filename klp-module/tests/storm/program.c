// SPDX-License-Identifier: GPL-2.0-only
/*
 * BPF programs at functions of the kernel.
 *
 * storm attach fentry|fexit FUNCTION: one that does nothing; for fexit, the kernel calls the function from a trampoline of the
 * program. How often it ran is told when asked with SIGUSR1; it goes with SIGTERM.
 *
 * storm trampoline: one at bpf_lsm_file_lock(), before it, that reads a page which is not there until agree.ko's gate is opened; and
 * calls that function, so that it waits in the trampoline, on its way into it.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "storm.h"

#define KERNEL_TYPES "/sys/kernel/btf/vmlinux"
/* Programs that sleep may be there, and hardly anybody calls it. */
#define HOOK "bpf_lsm_file_lock"

static long bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static void *whole(const char *path)
{
	struct stat stat_;
	int file = open(path, O_RDONLY);
	char *data;
	long had = 0, now;

	if (file < 0 || fstat(file, &stat_))
		return NULL;
	data = malloc(stat_.st_size);
	while (data && had < stat_.st_size && (now = read(file, data + had, stat_.st_size - had)) > 0)
		had += now;
	close(file);
	return had == stat_.st_size ? data : NULL;
}

/* What follows a type, in bytes (Documentation/bpf/btf.rst). */
static size_t behind(const struct btf_type *type)
{
	size_t parts = BTF_INFO_VLEN(type->info);

	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_INT:
		return sizeof(__u32);
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return parts * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return parts * sizeof(struct btf_enum);
	case BTF_KIND_ENUM64:
		return parts * sizeof(struct btf_enum64);
	case BTF_KIND_FUNC_PROTO:
		return parts * sizeof(struct btf_param);
	case BTF_KIND_VAR:
		return sizeof(struct btf_var);
	case BTF_KIND_DATASEC:
		return parts * sizeof(struct btf_var_secinfo);
	case BTF_KIND_DECL_TAG:
		return sizeof(struct btf_decl_tag);
	default:
		return 0;
	}
}

/* The number that the kernel's BTF gives to a function; 0 when it has none. */
static __u32 number_of(const char *function)
{
	const struct btf_header *header = whole(KERNEL_TYPES);
	const char *types, *strings, *at;
	__u32 number = 0, found = 0;

	if (!header)
		return 0;
	types = (const char *)header + header->hdr_len + header->type_off;
	strings = (const char *)header + header->hdr_len + header->str_off;
	for (at = types; !found && at < types + header->type_len;) {
		const struct btf_type *type = (const struct btf_type *)at;

		number++;
		if (BTF_INFO_KIND(type->info) == BTF_KIND_FUNC && !strcmp(strings + type->name_off, function))
			found = number;
		at += sizeof(*type) + behind(type);
	}
	free((void *)header);
	return found;
}

static unsigned long long runs(int program)
{
	struct bpf_prog_info info = {};
	union bpf_attr attr = { .info = { .bpf_fd = program, .info_len = sizeof(info), .info = (__u64)&info } };

	return bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) ? 0 : info.run_cnt;
}

static int load(union bpf_attr *attr, const char *function, const struct bpf_insn *program, unsigned int count)
{
	attr->insns = (__u64)program;
	attr->insn_cnt = count;
	attr->license = (__u64) "GPL";
	attr->attach_btf_id = number_of(function);
	return bpf(BPF_PROG_LOAD, attr);
}

/* For as long as the process is there. */
static bool attached(int program)
{
	union bpf_attr attr = { .raw_tracepoint.prog_fd = program };

	return program >= 0 && bpf(BPF_RAW_TRACEPOINT_OPEN, &attr) >= 0;
}

int attach(const char *where, const char *function)
{
	static const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_TRACING,
		.expected_attach_type = strcmp(where, "fexit") ? BPF_TRACE_FENTRY : BPF_TRACE_FEXIT,
	};
	union bpf_attr count = { .enable_stats = { .type = BPF_STATS_RUN_TIME } };
	int program = load(&attr, function, nothing, 2), signal;
	sigset_t asked;

	sigemptyset(&asked);
	sigaddset(&asked, SIGUSR1);
	sigaddset(&asked, SIGTERM);
	sigprocmask(SIG_BLOCK, &asked, NULL);
	if (bpf(BPF_ENABLE_STATS, &count) < 0 || !attached(program)) {
		perror(function);
		return 1;
	}
	do {
		printf("ran %llu\n", runs(program));
		fflush(stdout);
	} while (!sigwait(&asked, &signal) && signal == SIGUSR1);
	return 0;
}

int trampoline(void)
{
	size_t page = sysconf(_SC_PAGESIZE);
	int map = open("/proc/agree/map", O_RDWR);
	char *there = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	/* For all others there is nothing at this address, and no harm done. */
	__u64 waits = (__u64)there + page;
	const struct bpf_insn reads[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_1, .imm = -8 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 8 },
		{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = BPF_REG_3, .imm = (__s32)waits },
		{ .imm = (__s32)(waits >> 32) },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_copy_from_user },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_LSM,
		.expected_attach_type = BPF_LSM_MAC,
		.prog_flags = BPF_F_SLEEPABLE,
	};

	if (there == MAP_FAILED || !attached(load(&attr, HOOK, reads, sizeof(reads) / sizeof(reads[0])))) {
		perror(HOOK);
		return 1;
	}
	return flock(map, LOCK_SH) ? 1 : 0;
}
