#include "las/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SHOWN_MAX 400 /* of a path in a message */

struct mapping {
	unsigned long start, end;
	char perms[5];
	struct image file; /* ino 0: none */
	const char *name; /* until the end of the line; may be empty */
};

/* 'START-END PERMS OFFSET MAJOR:MINOR INODE   NAME'. The kernel escapes line ends in names, so a line is one mapping's. */
static bool parse_mapping(const char *line, struct mapping *ret)
{
	struct mapping m = {0};
	int at = 0;
	if (*line >= 'A' && *line <= 'Z') /* a count of the mapping before; most lines are */
		return false;
	if (sscanf(line, "%lx-%lx %4s %*x %x:%x %llu%n", &m.start, &m.end, m.perms, &m.file.major,
		    &m.file.minor, &m.file.ino, &at) != 6 ||
		strlen(m.perms) != 4)
		return false;
	m.name = line + at + strspn(line + at, " ");
	*ret = m;
	return true;
}

static bool same_image(const struct image *a, const struct image *b)
{
	return a->major == b->major && a->minor == b->minor && a->ino == b->ino;
}

int memory_image(int fd, struct image *ret, struct error *err)
{
	char *line = NULL;
	size_t cap = 0;
	bool found = false;
	FILE *f = fopen("/proc/self/maps", "re");
	void *p = f ? mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	if (p == MAP_FAILED) {
		error_set_errno(err, errno, "cannot map the peer's executable");
		if (f)
			fclose(f);
		return -1;
	}
	while (!found && getline(&line, &cap, f) > 0) {
		struct mapping m;
		found = parse_mapping(line, &m) && m.start == (unsigned long)p;
		if (found)
			*ret = m.file;
	}
	munmap(p, 1);
	free(line);
	fclose(f);
	return found ? 0
		     : error_set(err, ERR_INTERNAL,
			       "/proc/self/maps does not show the mapping of the peer's executable");
}

static int refuse(const struct mapping *m, pid_t pid, const char *what, const char *path, struct error *err)
{
	char name[SHOWN_MAX + 1];
	size_t n = 0;
	for (; m->name[n] && n < SHOWN_MAX; n++)
		name[n] = m->name[n] < 0x20 || m->name[n] > 0x7e ? '?' : m->name[n];
	name[n] = '\0';
	return error_set(err, ERR_PEER,
		"process %d has %s mapped at %lx-%lx (%s): %s; wanted the runtime %.300s and no other code: "
		"a "
		"process that "
		"hosts a program gets no evidence",
		pid, n ? name : "anonymous memory", m->start, m->end, m->perms, what, path);
}

static int check_code(
	const struct mapping *m, const struct image *image, pid_t pid, const char *path, struct error *err)
{
	if (m->perms[2] != 'x')
		return 0;
	if (!same_image(&m->file, image) && strcmp(m->name, "[vdso]") != 0 &&
		strcmp(m->name, "[vsyscall]") != 0)
		return refuse(m, pid, "executable", path, err);
	return m->perms[1] == 'w' ? refuse(m, pid, "executable and writable", path, err) : 0;
}

/* 'Anonymous:' and 'Swap:' count pages that were written to since the file was mapped. */
static int check_pages(
	const struct mapping *m, const char *line, pid_t pid, const char *path, struct error *err)
{
	unsigned long kib;
	if (m->perms[2] != 'x' || (*line != 'A' && *line != 'S'))
		return 0;
	if (sscanf(line, "Anonymous: %lu", &kib) != 1 && sscanf(line, "Swap: %lu", &kib) != 1)
		return 0;
	return kib ? refuse(m, pid, "executable and changed in memory", path, err) : 0;
}

/* Of several reasons to refuse, a file says most about who is there; otherwise the first. */
static int check_lines(
	char *text, bool cut, const struct image *image, pid_t pid, const char *path, struct error *err)
{
	struct mapping m = {.name = ""};
	struct error first = {0};
	bool refused = false;
	size_t code = 0, counted = 0;
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
		struct mapping next;
		if (!rest && cut)
			break; /* the last line is not whole */
		bool begins = parse_mapping(line, &next);
		if (begins)
			m = next;
		if (begins && m.file.ino != 0 && !same_image(&m.file, image))
			return refuse(&m, pid, "a file that is not the runtime", path, err);
		bool own_code = m.perms[2] == 'x' && same_image(&m.file, image);
		code += begins && own_code;
		counted += own_code && strncmp(line, "Anonymous:", strlen("Anonymous:")) == 0;
		struct error *keep = refused ? NULL : &first;
		if ((begins ? check_code(&m, image, pid, path, keep)
			    : check_pages(&m, line, pid, path, keep)) < 0)
			refused = true;
	}
	if (refused)
		return error_set(err, first.code, "%s", first.text);
	if (cut)
		return error_set(err, ERR_PEER, "process %d has over %d bytes of mappings in /proc/%d/smaps",
			pid, MEMORY_TEXT_MAX, pid);
	if (code == 0 || counted != code)
		return error_set(err, ERR_PEER,
			"process %d maps its executable %.400s %zu times to run it, %zu of them with page "
			"counts: wanted at least 1, each with counts",
			pid, path, code, counted);
	return 0;
}

int memory_check(const char *text, size_t n, bool cut, const struct image *image, pid_t pid, const char *path,
	struct error *err)
{
	char *copy = strndup(text, n);
	if (!copy)
		return error_set(err, ERR_NOMEM, "no memory for the mappings of process %d", pid);
	int rc = check_lines(copy, cut, image, pid, path, err);
	free(copy);
	return rc;
}
