/* What scone-las reads out of /proc/PID/smaps: texts as Linux writes them, and this process's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "core/buf.h"
#include "las/memory.h"

#define PAGES(anonymous, swap)                                                                               \
	"Size:                  4 kB\nRss:                   4 kB\nAnonymous:  " anonymous                   \
	" kB\nKSM:  0 kB\nSwap:  " swap " kB\nSwapPss:  0 kB\nVmFlags: rd ex mr mw me \n"
#define HEAD "7f00-7f10 r--p 00000000 fe:00 1001                   /usr/bin/scone-runtime\n" PAGES("0", "0")
#define CODE "7f10-7f20 r-xp 00001000 fe:00 1001                   /usr/bin/scone-runtime\n"
#define DATA "7f20-7f30 rw-p 00002000 fe:00 1001                   /usr/bin/scone-runtime\n" PAGES("44", "4")
#define HEAP "5555-5560 rw-p 00000000 00:00 0                      [heap]\n" PAGES("728", "0")
#define REST                                                                                                 \
	"8000-8001 rw-p 00000000 00:00 0 \n" PAGES(                                                          \
		"4", "0") "9000-9001 r--p 00000000 00:00 0                      [vvar]\n" PAGES("0",         \
		"0") "9001-9002 r-xp 00000000 00:00 0                      [vdso]\n" PAGES("0",              \
		"0") "9fff-a000 rw-p 00000000 00:00 0                      [stack]\n" PAGES("32",            \
		"0") "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0      [vsyscall]\n" PAGES("0",  \
		"0")
#define RUNTIME HEAP HEAD CODE PAGES("0", "0") DATA REST

static const struct image runtime = {0xfe, 0, 1001};

static int check(const char *text, struct error *err)
{
	memset(err, 0, sizeof(*err));
	return memory_check(text, strlen(text), false, &runtime, 77, "/usr/bin/scone-runtime", err);
}

static void test_runtime(void **state)
{
	struct error err;

	if (check(RUNTIME, &err) < 0)
		fail_msg("%s", err.text);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "0 times to run it"},
		{HEAP REST, "0 times to run it"},
		{HEAP HEAD DATA REST, "0 times to run it"},
		/* a file, whatever it is mapped for */
		{RUNTIME "b000-b001 r-xp 00001000 fe:00 1002           /usr/bin/python3.11\n" PAGES("0", "0"),
			"/usr/bin/python3.11 mapped at b000-b001 (r-xp)"},
		{RUNTIME "b000-b001 r--p 00001000 fe:00 1002           /usr/lib/libc.so.6\n",
			"/usr/lib/libc.so.6 mapped"},
		{RUNTIME "b000-b001 rw-s 00000000 00:01 5              /dev/zero (deleted)\n",
			"/dev/zero (deleted) mapped"},
		{RUNTIME "b000-b001 rwxp 00000000 00:0e 9              anon_inode:[x]\n",
			"anon_inode:[x] mapped"},
		/* another file of the same number, or the same name */
		{RUNTIME "b000-b001 r-xp 00001000 fe:01 1001           /usr/bin/scone-runtime\n" PAGES(
			 "0", "0"),
			"a file that is not the runtime"},
		{RUNTIME "b000-b001 r-xp 00001000 fd:00 1001           /mnt/x\n", "/mnt/x mapped"},
		{RUNTIME "b000-b001 r-xp 00001000 fe:00 10011          /usr/bin/scone-runtime\n",
			"a file that is not the runtime"},
		/* code without a file */
		{RUNTIME "b000-b001 r-xp 00000000 00:00 0 \n",
			"anonymous memory mapped at b000-b001 (r-xp): executable"},
		{RUNTIME "b000-b001 --xp 00000000 00:00 0 \n", "anonymous memory"},
		{RUNTIME "b000-b001 rwxp 00000000 00:00 0              [heap]\n", "[heap] mapped"},
		{RUNTIME "b000-b001 rwxp 00000000 00:00 0              [stack]\n", "[stack] mapped"},
		{RUNTIME "b000-b001 r-xp 00000000 00:00 0              [anon:[vdso]]\n",
			"[anon:[vdso]] mapped"},
		{RUNTIME "b000-b001 r-xp 00000000 00:00 0              [vdso]x\n", "[vdso]x mapped"},
		/* names that are files' */
		{RUNTIME "b000-b001 r-xp 00000000 fe:00 5              [vdso]\n",
			"a file that is not the runtime"},
		{RUNTIME "b000-b001 r-xp 00000000 fe:00 5              /x\033[2J\n", "/x?[2J mapped"},
		/* the runtime's own code, not as in the file */
		{HEAP HEAD CODE PAGES("4", "0") DATA REST, "executable and changed in memory"},
		{HEAP HEAD CODE PAGES("0", "8") DATA REST, "executable and changed in memory"},
		{RUNTIME "b000-b001 rwxp 00001000 fe:00 1001           /usr/bin/scone-runtime\n" PAGES(
			 "0", "0"),
			"executable and writable"},
		{RUNTIME "b000-b001 r-xp 00000000 00:00 0              [vdso]\n" PAGES("4", "0"),
			"[vdso] mapped"},
		/* of several, a file; otherwise the first */
		{"1000-2000 r-xp 00000000 00:00 0 \n" PAGES("4", "0") RUNTIME
			"b000-b001 r--p 00001000 fe:00 7    /usr/bin/program\n",
			"/usr/bin/program mapped"},
		{"1000-2000 r-xp 00000000 00:00 0 \n" PAGES("4", "0") RUNTIME
			"b000-b001 rwxp 00000000 00:00 0    [heap]\n",
			"anonymous memory mapped at 1000-2000 (r-xp): executable;"},
		/* a kernel that does not count */
		{HEAP HEAD CODE "VmFlags: rd ex\n" DATA REST,
			"1 times to run it, 0 of them with page counts"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error err;

		if (check(cases[i].text, &err) == 0)
			fail_msg("case %zu is taken: %s", i, cases[i].text);
		assert_int_equal(err.code, ERR_PEER);
		if (!strstr(err.text, cases[i].says) || !strstr(err.text, "77") ||
			!strstr(err.text, "/usr/bin/scone-runtime"))
			fail_msg("case %zu: '%s' does not say '%s'", i, err.text, cases[i].says);
	}
}

/* Text that was cut is refused, but if what is there shows why, that is said. */
static void test_cut(void **state)
{
	static const char bad[] = RUNTIME "b000-b001 r-xp 00000000 fe:00 5    /evil\n" PAGES("0", "0") "b1";
	struct error err;

	assert_int_equal(memory_check(RUNTIME, strlen(RUNTIME), true, &runtime, 77, "/r", &err), -1);
	assert_non_null(strstr(err.text, "over 262144 bytes"));
	assert_int_equal(memory_check(bad, strlen(bad), true, &runtime, 77, "/r", &err), -1);
	assert_non_null(strstr(err.text, "/evil mapped"));
}

/* Every beginning of the text of a good process: no reading past its end, and nothing taken without code and counts. */
static void test_beginnings(void **state)
{
	static const char text[] = RUNTIME;
	const char *code = strstr(text, "r-xp 00001000");
	struct error err;

	for (size_t n = 0; n < sizeof(text); n++) {
		int rc = memory_check(text, n, false, &runtime, 77, "/r", &err);

		if (n < (size_t)(code - text))
			assert_int_equal(rc, -1);
	}
}

/* This process and its own executable: the numbers are those that the kernel shows, and a test program is no runtime. */
static void test_own(void **state)
{
	static char text[MEMORY_TEXT_MAX];
	int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), smaps;
	struct image image, other;
	struct error err;
	size_t n = 0;
	ssize_t got;
	char line[64];

	assert_int_equal(memory_image(exe, &image, &err), 0);
	assert_int_equal(memory_image(exe, &other, &err), 0);
	assert_true(image.major == other.major && image.minor == other.minor && image.ino == other.ino);
	smaps = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
	while (n < sizeof(text) && (got = read(smaps, text + n, sizeof(text) - n)) > 0)
		n += (size_t)got;
	close(smaps);
	snprintf(line, sizeof(line), "r-xp ");
	assert_non_null(memmem(text, n, line, strlen(line)));
	snprintf(line, sizeof(line), "%02x:%02x %llu ", image.major, image.minor, image.ino);
	assert_non_null(memmem(text, n, line, strlen(line)));
	assert_int_equal(memory_check(text, n, n == sizeof(text), &image, getpid(), "/r", &err), -1);
	assert_non_null(strstr(err.text, "mapped at"));
	close(exe);
	assert_int_equal(memory_image(-1, &image, &err), -1);
	assert_int_equal(err.code, ERR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runtime),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_beginnings),
		cmocka_unit_test(test_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
