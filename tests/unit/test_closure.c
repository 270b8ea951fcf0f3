/* The closure is what ld.so really loads: compared with its own trace (ld.so(8), LD_TRACE_LOADED_OBJECTS), for installed
 * programs and for programs built here around each search rule. */
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "measure/hwcaps.h"
#include "measure/measure.h"

static char base[64];

static int setup(void **state)
{
	strcpy(base, "/tmp/test_closure.XXXXXX");
	unsetenv("LD_LIBRARY_PATH");
	unsetenv("LD_PRELOAD");
	return mkdtemp(base) && chdir(base) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", base);
	return chdir("/") < 0 ? -1 : system(command);
}

/* A shell command in the temporary directory must succeed. */
static void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static struct manifest closure(const char *program)
{
	struct manifest m;
	struct error err;
	if (closure_compute(program, &m, &err) < 0)
		fail_msg("%s: %s", program, err.text);
	return m;
}

static const struct code_entry *entry(const struct manifest *m, const char *path)
{
	char real[PATH_MAX];
	if (!realpath(path, real))
		fail_msg("%s does not exist", path);
	for (size_t i = 0; i < m->count; i++)
		if (strcmp(m->entries[i].path, real) == 0)
			return &m->entries[i];
	return NULL;
}

static size_t count_role(const struct manifest *m, enum code_role role)
{
	size_t n = 0;
	for (size_t i = 0; i < m->count; i++)
		n += m->entries[i].role == role;
	return n;
}

/* What ld.so says it would load for an ELF program: every path must be in the manifest, and nothing else may be. */
static void same_as_ldso(const char *elf, const struct manifest *m)
{
	char command[PATH_MAX + 64], line[2 * PATH_MAX], path[PATH_MAX];
	size_t seen = 0;
	snprintf(command, sizeof(command), "ASAN_OPTIONS= LD_TRACE_LOADED_OBJECTS=1 '%s'", elf);
	FILE *f = popen(command, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		const char *arrow = strstr(line, "=> ");
		if (strstr(line, "not found"))
			fail_msg("%s: ld.so does not find %s", elf, line);
		if (sscanf(arrow ? arrow + 3 : line, " %4095s", path) != 1 || !strchr(path, '/'))
			continue;
		const struct code_entry *e = entry(m, path);
		if (!e)
			fail_msg("%s: ld.so loads %s, which the closure lacks", elf, path);
		assert_true(e->role == CODE_LIBRARY || e->role == CODE_INTERP);
		seen++;
	}
	assert_int_equal(pclose(f), 0);
	assert_true(seen >= 2);
	assert_int_equal(seen, count_role(m, CODE_LIBRARY) + count_role(m, CODE_INTERP));
}

/* Digests, sizes and identities are those of the files. */
static void entries_true(const struct manifest *m)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct code_entry *e = &m->entries[i];
		uint8_t digest[32];
		uint64_t size;
		struct stat st;
		struct error err;
		int fd = open(e->path, O_RDONLY | O_NOFOLLOW);
		assert_true(fd >= 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(measure_fd(fd, digest, &size, &err), 0);
		close(fd);
		assert_memory_equal(digest, e->digest, 32);
		assert_int_equal(size, e->size);
		assert_int_equal(st.st_size, e->size);
		assert_int_equal(st.st_dev, e->dev);
		assert_int_equal(st.st_ino, e->ino);
		if (i)
			assert_true(strcmp(m->entries[i - 1].path, e->path) < 0);
	}
}

static void test_installed(void **state)
{
	static const struct {
		const char *program;
		bool always; /* on every machine that builds this */
	} rows[] = {
		{"/bin/ls", true},
		{"/bin/bash", true},
		{"/usr/bin/cc", true},
		{"/usr/sbin/mariadbd", false},
		{"/usr/bin/python3", false},
		{"/usr/bin/java", false}, /* through links; libjli by $ORIGIN in RUNPATH */
		{"/usr/bin/node", false},
		{"/usr/lib/R/bin/exec/R", false},
		{"/usr/bin/redis-server", false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (!rows[i].always && access(rows[i].program, X_OK) < 0) {
			print_message("%s is not installed: not compared\n", rows[i].program);
			continue;
		}
		struct manifest m = closure(rows[i].program);
		const struct code_entry *e = entry(&m, rows[i].program);
		assert_non_null(e);
		assert_int_equal(e->role, CODE_PROGRAM);
		assert_int_equal(count_role(&m, CODE_PROGRAM), 1);
		assert_int_equal(count_role(&m, CODE_INTERP), 1);
		same_as_ldso(rows[i].program, &m);
		entries_true(&m);
		manifest_free(&m);
	}
}

static void test_static(void **state)
{
	run("echo 'int main(void){return 0;}' >s.c && cc -static -o static s.c && cc -static-pie -fPIE -o "
	    "static-pie s.c");
	static const char *const names[] = {"static", "static-pie"};
	for (int i = 0; i < 2; i++) {
		struct manifest m = closure(names[i]);
		assert_int_equal(m.count, 1);
		assert_int_equal(m.entries[0].role, CODE_PROGRAM);
		assert_int_equal(m.entries[0].path[0], '/');
		entries_true(&m);
		manifest_free(&m);
	}
}

static void test_scripts(void **state)
{
	run("printf '#!/bin/bash -e\\ntrue\\n' >one && printf '#!./one\\n' >two && chmod +x one two");
	struct manifest bash = closure("/bin/bash"), m = closure("two");
	assert_int_equal(m.count, bash.count + 2);
	assert_int_equal(entry(&m, "one")->role, CODE_SCRIPT);
	assert_int_equal(entry(&m, "two")->role, CODE_SCRIPT);
	assert_int_equal(entry(&m, "/bin/bash")->role, CODE_PROGRAM);
	same_as_ldso("/bin/bash", &m);
	entries_true(&m);
	manifest_free(&m);
	manifest_free(&bash);
}

static void refused(const char *program, enum err_code code, const char *word)
{
	struct manifest m, untouched;
	struct error err = {0};
	memset(&m, 0x5a, sizeof(m));
	memcpy(&untouched, &m, sizeof(m));
	if (closure_compute(program, &m, &err) == 0)
		fail_msg("%s was accepted", program);
	if (err.code != code || !strstr(err.text, word))
		fail_msg("%s: code %s, text \"%s\", wanted %s and \"%s\"", program, error_code_name(err.code),
			err.text, error_code_name(code), word);
	assert_memory_equal(&m, &untouched, sizeof(m));
}

static void test_refused(void **state)
{
	char long_path[5000];
	refused("absent", ERR_IO, "cannot open absent");
	refused("/dev/null", ERR_INPUT, "regular file");
	refused("/tmp", ERR_INPUT, "regular file");
	run("mkfifo fifo && : >empty && echo hello >text");
	refused("fifo", ERR_INPUT, "regular file"); /* and does not hang */
	refused("empty", ERR_INPUT, "neither an ELF program nor a script");
	refused("text", ERR_INPUT, "neither an ELF program nor a script");
	run("echo '#!./loop' >loop && printf '#!/absent/sh\\n' >orphan && printf '#!\\n' >bare");
	refused("loop", ERR_LIMIT, "more than 5");
	refused("orphan", ERR_IO, "/absent/sh");
	refused("bare", ERR_INPUT, "names no interpreter");
	run("head -c 100 /bin/ls >cut && head -c 60 /bin/ls >cutter && printf '\\177ELF' >tiny");
	refused("cut", ERR_INPUT, "cut: ELF");
	refused("cutter", ERR_INPUT, "shorter than an ELF header");
	refused("tiny", ERR_INPUT, "shorter than an ELF header");
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	refused(long_path, ERR_LIMIT, "4999 bytes");
}

/* A library `name` in dir that holds one function, which may call functions of others. */
static void library(const char *dir, const char *name, const char *body, const char *flags)
{
	char command[1024];
	snprintf(command, sizeof(command),
		"mkdir -p %s && echo '%s' >l.c && cc -shared -fPIC -Wl,--no-as-needed -o %s/lib%s.so l.c "
		"-Wl,-soname,lib%s.so %s",
		dir, body, dir, name, name, flags);
	run(command);
}

static void program(const char *name, const char *flags)
{
	char command[1024];
	snprintf(command, sizeof(command),
		"echo 'int main(void){return 0;}' >m.c && cc -Wl,--no-as-needed -o %s m.c %s", name, flags);
	run(command);
}

static void test_missing_library(void **state)
{
	library("gone", "gone", "int g(void){return 1;}", "");
	library("mid", "mid", "int m(void){return 1;}", "-Lgone -lgone -Wl,-rpath,$PWD/gone");
	program("needs", "-Lmid -lmid -Wl,-rpath,'$ORIGIN/mid' -Wl,-rpath-link,gone");
	struct manifest m = closure("needs");
	same_as_ldso("./needs", &m);
	manifest_free(&m);
	run("rm gone/libgone.so");
	refused("needs", ERR_NOT_FOUND, "libgone.so not found (needed by ");
	refused("needs", ERR_NOT_FOUND, "mid/libmid.so)");
	run("echo no library >gone/libgone.so");
	refused("needs", ERR_INPUT, "gone/libgone.so is no ELF file");
	run("head -c 200 mid/libmid.so >gone/libgone.so");
	refused("needs", ERR_INPUT, "gone/libgone.so");
}

/* RUNPATH counts for the object itself; RPATH for all that it brings in, unless they have a RUNPATH. */
static void test_paths(void **state)
{
	library("deep", "deep", "int d(void){return 1;}", "");
	library("top", "top", "int t(void){return 1;}", "-Ldeep -ldeep");
	program("rpath", "-Ltop -ltop -Wl,--disable-new-dtags,-rpath,'$ORIGIN/top:${ORIGIN}/deep' "
			 "-Wl,-rpath-link,deep");
	struct manifest m = closure("rpath");
	same_as_ldso("./rpath", &m);
	assert_non_null(entry(&m, "deep/libdeep.so"));
	manifest_free(&m);
	program("runpath",
		"-Ltop -ltop -Wl,--enable-new-dtags,-rpath,'$ORIGIN/top:$ORIGIN/deep' -Wl,-rpath-link,deep");
	refused("runpath", ERR_NOT_FOUND, "libdeep.so not found");
	/* A RUNPATH of its own shuts an object off from the RPATH of those that bring it in. */
	library("own", "own", "int o(void){return 1;}",
		"-Ldeep -ldeep -Wl,--enable-new-dtags,-rpath,/nowhere");
	program("shut",
		"-Lown -lown -Wl,--disable-new-dtags,-rpath,'$ORIGIN/own:$ORIGIN/deep' -Wl,-rpath-link,deep");
	run("! ./shut 2>shut.log");
	refused("shut", ERR_NOT_FOUND, "libdeep.so not found (needed by ");
	/* The same program through a link elsewhere: $ORIGIN is where it really lies. */
	run("mkdir -p else && ln -sf ../rpath else/link");
	m = closure("else/link");
	same_as_ldso("else/link", &m);
	manifest_free(&m);
	/* First of two directories wins; a second name for the same file is one entry. */
	run("mkdir -p first && cp top/libtop.so first/ && ln -sf libdeep.so deep/libalias.so");
	program("order", "-Ltop -ltop -Ldeep -ldeep -l:libalias.so "
			 "-Wl,--disable-new-dtags,-rpath,'$ORIGIN/first:$ORIGIN/top:$ORIGIN/deep'");
	m = closure("order");
	same_as_ldso("./order", &m);
	assert_non_null(entry(&m, "first/libtop.so"));
	assert_null(entry(&m, "top/libtop.so"));
	manifest_free(&m);
}

/* DF_1_NODEFLIB: neither the default directories nor what the cache has from there. */
static void test_no_default_dirs(void **state)
{
	program("nodef", "-Wl,-z,nodefaultlib");
	run("! ./nodef 2>nodef.log");
	refused("nodef", ERR_NOT_FOUND, "libc.so.6 not found");
	program("nodef", "-Wl,-z,nodefaultlib,-rpath,/lib/x86_64-linux-gnu");
	struct manifest m = closure("nodef");
	same_as_ldso("./nodef", &m);
	manifest_free(&m);
}

/* A 32-bit library on the way is passed by; a path with a slash is taken as it is. */
static void test_other_class(void **state)
{
	library("right", "odd", "int o(void){return 1;}", "");
	run("mkdir -p wrong && cp right/libodd.so wrong/ && printf '\\001' | dd of=wrong/libodd.so bs=1 "
	    "seek=4 conv=notrunc 2>dd.log");
	program("odd", "-Lright -lodd -Wl,-rpath,'$ORIGIN/wrong:$ORIGIN/right'");
	struct manifest m = closure("odd");
	same_as_ldso("./odd", &m);
	assert_non_null(entry(&m, "right/libodd.so"));
	manifest_free(&m);
	run("echo 'int s(void){return 1;}' >l.c && cc -shared -fPIC -o right/plain.so l.c");
	program("slash", "right/plain.so");
	m = closure("slash");
	same_as_ldso("./slash", &m);
	assert_non_null(entry(&m, "right/plain.so"));
	manifest_free(&m);
}

static void test_hwcaps_dirs(void **state)
{
	struct hwcaps h;
	char dirs[HWCAPS_DIRS_MAX][HWCAPS_DIR_LEN], command[512];
	library("hw", "hw", "int h(void){return 1;}", "");
	program("hwprog", "-Lhw -lhw -Wl,-rpath,'$ORIGIN/hw'");
	hwcaps_detect(&h);
	size_t n = hwcaps_subdirs(&h, dirs);
	assert_true(n >= 7);
	/* From the least to the most preferred: each new one is taken by ld.so, and by the closure. */
	for (size_t i = n; i-- > 0;) {
		snprintf(command, sizeof(command), "mkdir -p hw/%s && cp hw/libhw.so hw/%s/", dirs[i],
			dirs[i]);
		run(command);
		struct manifest m = closure("hwprog");
		same_as_ldso("./hwprog", &m);
		snprintf(command, sizeof(command), "hw/%s/libhw.so", dirs[i]);
		assert_non_null(entry(&m, command));
		manifest_free(&m);
	}
	/* A level above the processor's is left alone. */
	if (h.level < 4) {
		run("mkdir -p hw/glibc-hwcaps/x86-64-v4 && cp hw/libhw.so hw/glibc-hwcaps/x86-64-v4/");
		struct manifest m = closure("hwprog");
		same_as_ldso("./hwprog", &m);
		manifest_free(&m);
	}
}

/* One changed byte changes the root, and nothing else does. */
static void test_root(void **state)
{
	uint8_t a[32], b[32];
	library("rt", "rt", "int r(void){return 1;}", "");
	program("rooted", "-Lrt -lrt -Wl,-rpath,'$ORIGIN/rt'");
	struct manifest m = closure("rooted");
	manifest_root(&m, a);
	manifest_free(&m);
	run("touch -d '2001-01-01' rt/librt.so rooted");
	m = closure("./rooted");
	manifest_root(&m, b);
	manifest_free(&m);
	assert_memory_equal(a, b, 32);
	run("printf x >>rt/librt.so");
	m = closure("rooted");
	manifest_root(&m, b);
	manifest_free(&m);
	assert_memory_not_equal(a, b, 32);
}

static void extend(struct manifest *m, const char *file)
{
	struct error err;
	if (closure_extend(file, NULL, 0, m, &err) < 0)
		fail_msg("%s: %s", file, err.text);
	entries_true(m);
}

/* The root of program and the files, extended in this order. */
static void root_of(const char *program, const char *const *files, size_t n, uint8_t ret[32])
{
	struct manifest m = closure(program);
	for (size_t i = 0; i < n; i++)
		extend(&m, files[i]);
	manifest_root(&m, ret);
	manifest_free(&m);
}

/* A plugin comes with its libraries, looked up as in the program that loads it: here by the program's RPATH. */
static void test_extend_library(void **state)
{
	library("dep", "dep", "int d(void){return 1;}", "");
	library("plug", "plug", "int p(void){return 1;}", "-Ldep -ldep");
	program("host", "-ldl -Wl,--disable-new-dtags,-rpath,'$ORIGIN/dep'");
	program("other", "");
	struct manifest m = closure("host");
	assert_null(entry(&m, "dep/libdep.so"));
	extend(&m, "plug/libplug.so");
	assert_int_equal(entry(&m, "plug/libplug.so")->role, CODE_LIBRARY);
	assert_int_equal(entry(&m, "dep/libdep.so")->role, CODE_LIBRARY);
	assert_int_equal(entry(&m, "host")->role, CODE_PROGRAM);
	assert_int_equal(count_role(&m, CODE_EXECUTABLE), 0);
	/* What the program and ld.so map for it is what was found. */
	run("echo '#include <dlfcn.h>\nint main(int n,char**v){return !dlopen(v[1],RTLD_NOW);}' >dl.c && "
	    "cc -o host dl.c -Wl,--disable-new-dtags,-rpath,'$ORIGIN/dep' && ASAN_OPTIONS= ./host "
	    "plug/libplug.so");
	manifest_free(&m);
	m = closure("other");
	struct error err;
	size_t count = m.count;
	assert_int_equal(closure_extend("plug/libplug.so", NULL, 0, &m, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "libdep.so not found"));
	assert_int_equal(m.count, count);
	/* Named, it comes by itself, wherever the program that loads it looks; another name is none. */
	static const char *const named[] = {"plug/libplug.so", "dep/libdep.so", "dep/libdep.so.1"};
	assert_int_equal(closure_extend("plug/libplug.so", named + 2, 1, &m, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(closure_extend(named[i], named, 2, &m, &err), 0);
	assert_int_equal(m.count, count + 2);
	manifest_free(&m);
}

static void test_extend_roles(void **state)
{
	run("printf '#!/bin/bash\ntrue\n' >ext && cp /bin/ls ls2");
	struct manifest m = closure("/bin/sh");
	extend(&m, "ext");
	extend(&m, "ls2");
	assert_int_equal(entry(&m, "ext")->role, CODE_EXECUTABLE);
	assert_int_equal(entry(&m, "/bin/bash")->role, CODE_EXECUTABLE);
	assert_int_equal(entry(&m, "ls2")->role, CODE_EXECUTABLE);
	assert_int_equal(entry(&m, "/bin/sh")->role, CODE_PROGRAM);
	assert_int_equal(count_role(&m, CODE_PROGRAM), 1);
	assert_int_equal(count_role(&m, CODE_SCRIPT), 0);
	/* Known already: nothing changes, whatever it would be by itself. libc.so.6 has an interpreter. */
	size_t count = m.count;
	extend(&m, "/bin/sh");
	extend(&m, "ext");
	char libc[PATH_MAX] = "";
	for (size_t i = 0; i < m.count; i++)
		if (strstr(m.entries[i].path, "/libc.so.6"))
			snprintf(libc, sizeof(libc), "%s", m.entries[i].path);
	extend(&m, libc);
	assert_int_equal(entry(&m, libc)->role, CODE_LIBRARY);
	assert_int_equal(m.count, count);
	manifest_free(&m);
	/* A script that is started, and its interpreter. */
	m = closure("ext");
	extend(&m, "/bin/bash");
	assert_int_equal(entry(&m, "ext")->role, CODE_SCRIPT);
	assert_int_equal(entry(&m, "/bin/bash")->role, CODE_PROGRAM);
	manifest_free(&m);
	/* A static program, an interpreter, and a library in a manifest whose program loads none. */
	run("echo 'int main(void){return 0;}' >s.c && cc -static -o static s.c && cc -static-pie -fPIE -o "
	    "spie s.c");
	m = closure("static");
	extend(&m, "spie");
	assert_int_equal(m.count, 2);
	assert_int_equal(entry(&m, "spie")->role, CODE_EXECUTABLE);
	extend(&m, libc);
	assert_int_equal(entry(&m, libc)->role, CODE_EXECUTABLE);
	library("lone", "lone", "int l(void){return 1;}", "");
	extend(&m, "lone/liblone.so");
	/* Now something needs it as a library. */
	assert_int_equal(entry(&m, libc)->role, CODE_LIBRARY);
	manifest_free(&m);
}

/* Any order, any repetition: one root. What is started counts, and each file does. */
static void test_extend_root(void **state)
{
	run("printf '#!/bin/bash\ntrue\n' >ord");
	library("ord1", "a", "int a(void){return 1;}", "");
	run("mkdir -p ord2 && ln ord1/liba.so ord2/libb.so");
	static const char *const files[] = {"ord", "ord1/liba.so", "ord2/libb.so", "/bin/ls", "/bin/bash"};
	enum { N = sizeof(files) / sizeof(*files) };
	const char *turned[2 * N];
	uint8_t a[32], b[32];
	root_of("/bin/cat", files, N, a);
	for (size_t shift = 0; shift < N; shift++) {
		for (size_t i = 0; i < N; i++)
			turned[i] = turned[2 * N - 1 - i] = files[(i + shift) % N];
		root_of("/bin/cat", turned, N, b);
		assert_memory_equal(a, b, 32);
		root_of("/bin/cat", turned + N, N, b);
		assert_memory_equal(a, b, 32);
		root_of("/bin/cat", turned, 2 * N, b);
		assert_memory_equal(a, b, 32);
		root_of("/bin/cat", turned, N - 1, b);
		if (strcmp(turned[N - 1], "/bin/bash") != 0) /* which is there as the script's */
			assert_memory_not_equal(a, b, 32);
	}
	root_of("/bin/cat", (const char *[]){"/bin/ls"}, 1, a);
	root_of("/bin/ls", (const char *[]){"/bin/cat"}, 1, b);
	assert_memory_not_equal(a, b, 32);
}

static void not_extended(const char *file, enum err_code code, const char *word)
{
	struct manifest m = closure("/bin/sh");
	uint8_t before[32], after[32];
	struct error err = {0};
	manifest_root(&m, before);
	if (closure_extend(file, NULL, 0, &m, &err) == 0)
		fail_msg("%s was accepted", file);
	if (err.code != code || !strstr(err.text, word))
		fail_msg("%s: code %s, text \"%s\", wanted %s and \"%s\"", file, error_code_name(err.code),
			err.text, error_code_name(code), word);
	manifest_root(&m, after);
	assert_memory_equal(before, after, 32);
	manifest_free(&m);
}

static void test_extend_refused(void **state)
{
	not_extended("absent", ERR_IO, "cannot open absent");
	not_extended("/tmp", ERR_INPUT, "regular file");
	run("mkfifo pipe && echo hello >words && head -c 100 /bin/ls >part && printf '#!/absent/sh\n' >lost");
	not_extended("pipe", ERR_INPUT, "regular file");
	not_extended("words", ERR_INPUT, "neither an ELF program nor a script");
	not_extended("part", ERR_INPUT, "part: ELF");
	not_extended("lost", ERR_IO, "/absent/sh");
	/* A file of the manifest that is another one now. */
	run("cp /bin/cat was && cp /bin/ls is");
	struct manifest m = closure("was");
	struct error err;
	run("mv is was");
	assert_int_equal(closure_extend("was", NULL, 0, &m, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	manifest_free(&m);
	/* A library needs a program that loads it. */
	library("np", "np", "int n(void){return 1;}", "");
	manifest_init(&m);
	assert_int_equal(closure_extend("np/libnp.so", NULL, 0, &m, &err), -1);
	assert_int_equal(err.code, ERR_INPUT);
	assert_int_equal(m.count, 0);
}

static void test_musl(void **state)
{
	if (system("command -v musl-gcc >/dev/null 2>&1") != 0) {
		print_message("musl-gcc is not installed: musl's rules are not tried\n");
		return;
	}
	run("mkdir -p mu && echo 'int f(void){return 1;}' >l.c && musl-gcc -shared -fPIC -o mu/libmu.so l.c "
	    "-Wl,-soname,libmu.so");
	run("echo 'int f(void);int main(void){return f()!=1;}' >m.c && musl-gcc -o muprog m.c -Lmu -lmu "
	    "-Wl,-rpath,'$ORIGIN/mu'");
	run("./muprog");
	struct manifest m = closure("muprog");
	assert_int_equal(m.count, 3);
	assert_int_equal(entry(&m, "mu/libmu.so")->role, CODE_LIBRARY);
	assert_int_equal(count_role(&m, CODE_INTERP), 1);
	manifest_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_installed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_static, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scripts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing_library, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_default_dirs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_class, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hwcaps_dirs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_root, setup, teardown),
		cmocka_unit_test_setup_teardown(test_extend_library, setup, teardown),
		cmocka_unit_test_setup_teardown(test_extend_roles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_extend_root, setup, teardown),
		cmocka_unit_test_setup_teardown(test_extend_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_musl, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
