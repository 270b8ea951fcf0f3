/*
 * test_length: the table of instruction lengths against Capstone. What the table says must be what Capstone says, for every prefix and ModRM
 * byte of every opcode; and it must say something for most of real code, or it is of no use.
 */
#include <capstone/capstone.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "runtime/x86_64/rewrite_elf.h"
#include "runtime/x86_64/rewrite_length.h"

#define LONGEST 15
#define SHARE_MIN 0.80

static csh handle;
static cs_insn *insn;
static unsigned long compared, failures;

static size_t decoded_len(const uint8_t *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint64_t address = 0x1000;

	return cs_disasm_iter(handle, &p, &n, &address, insn) ? (size_t)(p - bytes) : 0;
}

static void fail(const char *what, const uint8_t *bytes, size_t said, size_t wanted)
{
	if (failures++ >= 20)
		return;
	printf("not ok %s:", what);
	for (int i = 0; i < LONGEST; i++)
		printf(" %02x", bytes[i]);
	printf(": the table says %zu bytes, Capstone %zu\n", said, wanted);
}

/* One encoding: the table may say nothing, but nothing else than Capstone; and a byte less than the instruction has is none. */
static void compare(const uint8_t *bytes)
{
	size_t said = insn_length(bytes, LONGEST), wanted;

	if (said == 0)
		return;
	compared++;
	wanted = decoded_len(bytes, LONGEST);
	if (said != wanted)
		fail("length", bytes, said, wanted);
	if (insn_length(bytes, said) != said)
		fail("exactly there", bytes, insn_length(bytes, said), said);
	if (insn_length(bytes, said - 1) != 0)
		fail("cut off", bytes, insn_length(bytes, said - 1), 0);
}

static void compare_opcode(uint8_t *bytes, size_t at)
{
	static const uint8_t sib[] = {0x00, 0x05, 0x24, 0x25, 0xe5, 0xff};

	for (unsigned modrm = 0; modrm < 256; modrm++) {
		memset(bytes + at, 0x11, LONGEST + 1 - at);
		bytes[at] = (uint8_t)modrm;
		for (size_t i = 0; i < sizeof(sib); i++) {
			bytes[at + 1] = sib[i];
			compare(bytes);
			if (modrm >= 0xc0 || (modrm & 7) != 4)
				break;
		}
	}
}

static void every_opcode(void)
{
	static const uint8_t prefixes[] = {
		0, 0x66, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0x67, 0xf0, 0xf2, 0xf3};
	uint8_t bytes[LONGEST + 1];

	for (size_t i = 0; i < sizeof(prefixes); i++)
		for (unsigned rex = 0x3f; rex < 0x50; rex++)
			for (unsigned op = 0; op < 512; op++) {
				size_t n = 0;

				if (prefixes[i])
					bytes[n++] = prefixes[i];
				if (rex >= 0x40)
					bytes[n++] = (uint8_t)rex;
				if (op >= 256)
					bytes[n++] = 0x0f;
				bytes[n++] = (uint8_t)op;
				compare_opcode(bytes, n);
			}
}

/* All bytes of a file's code, at every alignment of what Capstone finds in line. */
static void real_code(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned long all = 0, known = 0;
	struct elf_ranges e;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) ||
		elf_ranges_open(&e, (struct elf_source){.fd = fd, .size = (uint64_t)st.st_size}) < 0) {
		printf("ok %s # skip: not there\n", path);
		if (fd >= 0)
			close(fd);
		return;
	}
	for (size_t i = 0; i < e.seg_count; i++) {
		size_t len = e.segs[i].filesz;
		uint8_t *code = e.segs[i].exec ? malloc(len) : NULL;

		if (!code || elf_source_read(&e.src, e.segs[i].off, code, len) < 0) {
			free(code);
			continue;
		}
		for (size_t at = 0, n; at < len; at += n ? n : 1) {
			size_t said = insn_length(code + at, len - at);

			n = decoded_len(code + at, len - at);
			if (said && said != n)
				fail(path, code + at, said, n);
			all += n != 0;
			known += said != 0;
		}
		free(code);
	}
	elf_ranges_close(&e);
	close(fd);
	printf("%s %s: %lu of %lu instructions are in the table\n",
		(double)known > SHARE_MIN * (double)all ? "ok" : "not ok", path, known, all);
	failures += (double)known <= SHARE_MIN * (double)all;
}

int main(void)
{
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK)
		return 1;
	insn = cs_malloc(handle);
	every_opcode();
	printf("%s %lu encodings\n", failures || compared < 1000000 ? "not ok" : "ok", compared);
	failures += compared < 1000000;
	real_code("/lib/x86_64-linux-gnu/libc.so.6");
	real_code("/lib64/ld-linux-x86-64.so.2");
	real_code("/usr/bin/python3");
	cs_free(insn, 1);
	cs_close(&handle);
	return failures ? 1 : 0;
}
