#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "measure/elf.h"
#include "measure/measure.h"
#include "measure/search.h"
#include "measure/shebang.h"

#define PRELOAD_PATH "/etc/ld.so.preload"
#define GLIBC_INTERP "/lib64/ld-linux-x86-64.so.2" /* whose rules hold where no program says otherwise */
#define NO_LOADER SIZE_MAX

/* One file that ld.so has mapped, in the order it would. */
struct object {
	char *path; /* as ld.so names it: decides $ORIGIN */
	char *origin; /* directory of path */
	struct elf_dynamic dyn;
	struct dir_list rpath, runpath; /* expanded when first asked for */
	bool rpath_done, runpath_done;
	size_t loader; /* index of the object that brought it in, NO_LOADER for the program */
	dev_t dev;
	ino_t ino;
	char **names; /* DT_NEEDED names it answered to, owned */
	size_t name_count;
};

struct closure {
	struct manifest manifest;
	measure_fn how; /* files are measured so */
	const struct manifest *known; /* files whose digests need not be computed again, or NULL */
	const char *const *named; /* files that the manifest is, or will be, extended by */
	size_t named_count;
	bool extension; /* programs and scripts are not what is started */
	struct object *objects; /* [0] is the program; the interpreter is [1] if there is one */
	size_t count;
	struct search search;
	bool has_search;
};

static int fd_pread(void *ctx, uint64_t off, void *p, size_t n)
{
	int fd = *(const int *)ctx;
	uint8_t *at = p;
	while (n) {
		ssize_t got = pread(fd, at, n, (off_t)off);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -1;
		at += got;
		off += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

static struct code_entry *entry_of(const struct manifest *m, const char *path)
{
	for (size_t i = 0; m && i < m->count; i++)
		if (strcmp(m->entries[i].path, path) == 0)
			return &m->entries[i];
	return NULL;
}

static int digest_file(const struct closure *c, const char *resolved, int fd, const struct stat *st,
	uint8_t ret[SHA256_LEN], uint64_t *ret_size, struct error *err)
{
	const struct code_entry *e = entry_of(c->known, resolved);
	if (!e || e->dev != st->st_dev || e->ino != st->st_ino)
		return c->how(fd, ret, ret_size, err);
	memcpy(ret, e->digest, SHA256_LEN);
	*ret_size = e->size;
	return 0;
}

/* Measure the open file and add it once. path may contain links: the manifest holds the resolved one, which must lead to
 * the same file. */
static int record(struct closure *c, enum code_role role, const char *path, int fd, struct error *err)
{
	struct stat st, resolved_st;
	uint8_t digest[SHA256_LEN];
	uint64_t size;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, errno, "cannot stat %s", path);
	if (c->extension && role < CODE_INTERP)
		role = CODE_EXECUTABLE;
	char *resolved = realpath(path, NULL);
	if (!resolved)
		return error_set_errno(err, errno, "cannot resolve the path %s", path);
	int rc = -1;
	struct code_entry *e = entry_of(&c->manifest, resolved);
	if (stat(resolved, &resolved_st) < 0 || resolved_st.st_dev != st.st_dev ||
		resolved_st.st_ino != st.st_ino || (e && (e->dev != st.st_dev || e->ino != st.st_ino)))
		error_set(err, ERR_CONFLICT, "%s was replaced while it was measured", path);
	else if (e) {
		e->role = role < e->role ? role : e->role;
		rc = 0;
	} else if (digest_file(c, resolved, fd, &st, digest, &size, err) < 0)
		error_wrap(err, "%s", path);
	else
		rc = manifest_add(&c->manifest, role, resolved, digest, err);
	free(resolved);
	if (rc == 0 && !e) {
		e = &c->manifest.entries[c->manifest.count - 1];
		e->size = size;
		e->dev = st.st_dev;
		e->ino = st.st_ino;
	}
	return rc;
}

static int open_elf(int *fd, const char *path, struct elf *ret, struct error *err)
{
	struct stat st;
	if (fstat(*fd, &st) < 0)
		return error_set_errno(err, errno, "cannot stat %s", path);
	struct elf_source src = {.pread = fd_pread, .ctx = fd, .size = (uint64_t)st.st_size};
	return elf_open(&src, ret, err) < 0 ? error_wrap(err, "%s", path) : 0;
}

static int add_name(struct object *o, const char *name, struct error *err)
{
	char **grown = realloc(o->names, (o->name_count + 1) * sizeof(*grown));
	char *copy = strdup(name);
	if (grown)
		o->names = grown;
	if (!grown || !copy) {
		free(copy);
		return error_set(err, ERR_NOMEM, "no memory for a library's name");
	}
	o->names[o->name_count++] = copy;
	return 0;
}

/* Directory part of an absolute path made from path; ld.so puts the working directory in front of a relative one. */
static char *directory_of(const char *path)
{
	char *cwd = path[0] == '/' ? NULL : getcwd(NULL, 0);
	if (path[0] != '/' && !cwd)
		return NULL;
	char *dir = NULL;
	if (asprintf(&dir, "%s%s%s", cwd ? cwd : "", cwd ? "/" : "", path) < 0) {
		dir = NULL;
	} else {
		char *slash = strrchr(dir, '/');
		slash[slash == dir ? 1 : 0] = '\0';
	}
	free(cwd);
	return dir;
}

/* Append an object; takes over path. elf NULL: its dynamic section does not count. */
static int add_object(
	struct closure *c, char *path, int fd, const struct elf *elf, size_t loader, struct error *err)
{
	struct stat st;
	struct object *grown = realloc(c->objects, (c->count + 1) * sizeof(*grown));
	struct object o = {.path = path, .loader = loader, .origin = directory_of(path)};
	if (grown)
		c->objects = grown;
	if (!grown || !o.origin)
		error_set(err, ERR_NOMEM, "no memory for %zu loaded objects", c->count + 1);
	else if (c->count >= MANIFEST_MAX)
		error_set(err, ERR_LIMIT, "%s: more than %d files to load", c->objects[0].path, MANIFEST_MAX);
	else if (fstat(fd, &st) < 0)
		error_set_errno(err, errno, "cannot stat %s", path);
	else if (elf && elf_dynamic(elf, &o.dyn, err) < 0)
		error_wrap(err, "%s", path);
	else {
		o.dev = st.st_dev;
		o.ino = st.st_ino;
		c->objects[c->count++] = o;
		return 0;
	}
	free(o.origin);
	free(path);
	return -1;
}

static void closure_free(struct closure *c)
{
	for (size_t i = 0; i < c->count; i++) {
		struct object *o = &c->objects[i];
		for (size_t k = 0; k < o->name_count; k++)
			free(o->names[k]);
		free(o->names);
		free(o->path);
		free(o->origin);
		elf_dynamic_free(&o->dyn);
		dir_list_free(&o->rpath);
		dir_list_free(&o->runpath);
	}
	free(c->objects);
	if (c->has_search)
		search_free(&c->search);
	manifest_free(&c->manifest);
}

/* An object that ld.so would take for name without looking for a file. */
static struct object *loaded_as(struct closure *c, const char *name)
{
	for (size_t i = 0; i < c->count; i++) {
		struct object *o = &c->objects[i];
		if (strcmp(o->path, name) == 0 || (o->dyn.soname && strcmp(o->dyn.soname, name) == 0))
			return o;
		for (size_t k = 0; k < o->name_count; k++)
			if (strcmp(o->names[k], name) == 0)
				return o;
	}
	return NULL;
}

static int rpath_dirs(
	struct closure *c, struct object *o, bool runpath, const struct dir_list **ret, struct error *err)
{
	/* Where both are given, RPATH is ignored. */
	const char *list = runpath ? o->dyn.runpath : o->dyn.runpath ? NULL : o->dyn.rpath;
	struct dir_list *dirs = runpath ? &o->runpath : &o->rpath;
	bool *done = runpath ? &o->runpath_done : &o->rpath_done;
	if (!*done && list && search_expand(&c->search, list, o->origin, dirs, err) < 0)
		return error_wrap(err, "%s: library path", o->path);
	*done = true;
	*ret = dirs;
	return 0;
}

static int search_object(struct closure *c, struct object *o, bool runpath, const char *name,
	struct found *ret, struct error *err)
{
	const struct dir_list *dirs = NULL;
	if (rpath_dirs(c, o, runpath, &dirs, err) < 0)
		return -1;
	return search_dirs(dirs, name, ret, err);
}

/* glibc: RPATH of the object and of those that brought it in, only if it has no RUNPATH; the program's RPATH; RUNPATH. */
static int search_glibc(
	struct closure *c, size_t loader, const char *name, struct found *ret, struct error *err)
{
	struct object *o = &c->objects[loader];
	int rc = 0;
	if (!o->dyn.runpath) {
		bool did_program = false;
		for (size_t i = loader; rc == 0 && i != NO_LOADER; i = c->objects[i].loader) {
			rc = search_object(c, &c->objects[i], false, name, ret, err);
			did_program |= i == 0;
		}
		if (rc == 0 && !did_program)
			rc = search_object(c, &c->objects[0], false, name, ret, err);
	}
	if (rc == 0)
		rc = search_object(c, o, true, name, ret, err);
	return rc ? rc : search_system(&c->search, name, o->dyn.flags_1 & DF_1_NODEFLIB, ret, err);
}

/* musl: RUNPATH, else RPATH, of the object and of all that brought it in. */
static int search_musl(
	struct closure *c, size_t loader, const char *name, struct found *ret, struct error *err)
{
	int rc = 0;
	for (size_t i = loader; rc == 0 && i != NO_LOADER; i = c->objects[i].loader)
		rc = search_object(c, &c->objects[i], c->objects[i].dyn.runpath != NULL, name, ret, err);
	return rc ? rc : search_system(&c->search, name, false, ret, err);
}

/* musl's interpreter is the C library under all these names. */
static bool musl_builtin(const char *name)
{
	static const char *const names[] = {"c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."};
	if (strncmp(name, "lib", 3) != 0)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strncmp(name + 3, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* 1: found, 0: not there, 2: already loaded. */
static int find_library(
	struct closure *c, size_t loader, const char *name, struct found *ret, struct error *err)
{
	char *path;
	if (!strchr(name, '/')) {
		bool builtin = c->search.kind == LDSO_MUSL && musl_builtin(name);
		if (builtin || loaded_as(c, name))
			return 2;
		return c->search.kind == LDSO_MUSL ? search_musl(c, loader, name, ret, err)
						   : search_glibc(c, loader, name, ret, err);
	}
	if (search_expand_token(&c->search, name, strlen(name), c->objects[loader].origin, &path, err) < 0)
		return -1;
	int rc = loaded_as(c, path) ? 2 : search_open(path, ret, err);
	free(path);
	return rc;
}

/* Is it one of the files that the manifest is extended by? */
static bool is_named(const struct closure *c, const char *name)
{
	for (size_t i = 0; i < c->named_count; i++) {
		const char *slash = strrchr(c->named[i], '/');
		if (strcmp(slash ? slash + 1 : c->named[i], name) == 0)
			return true;
	}
	return false;
}

/* Bring in one library. wanted false: ld.so goes on without it. */
static int load_library(struct closure *c, size_t loader, const char *name, bool wanted, struct error *err)
{
	struct found f = {0};
	struct stat st;
	struct elf elf;
	int rc = find_library(c, loader, name, &f, err);
	if (rc < 0)
		return error_wrap(err, "library %s (needed by %s)", name, c->objects[loader].path);
	if (rc == 2 || (rc == 0 && (!wanted || is_named(c, name))))
		return 0;
	if (rc == 0)
		return error_set(err, ERR_NOT_FOUND, "library %s not found (needed by %s)", name,
			c->objects[loader].path);
	rc = -1;
	if (fstat(f.fd, &st) < 0) {
		error_set_errno(err, errno, "cannot stat %s", f.path);
		goto out;
	}
	for (size_t i = 0; i < c->count; i++)
		if (c->objects[i].dev == st.st_dev && c->objects[i].ino == st.st_ino) {
			rc = add_name(&c->objects[i], name, err);
			goto out;
		}
	if (open_elf(&f.fd, f.path, &elf, err) < 0 || record(c, CODE_LIBRARY, f.path, f.fd, err) < 0)
		goto out;
	rc = add_object(c, f.path, f.fd, &elf, loader, err);
	f.path = NULL;
	elf_close(&elf);
	if (rc == 0)
		rc = add_name(&c->objects[c->count - 1], name, err);
out:
	if (rc < 0)
		error_wrap(err, "library %s (needed by %s)", name, c->objects[loader].path);
	free(f.path);
	close(f.fd);
	return rc;
}

/* Names in /etc/ld.so.preload, which glibc's ld.so loads into every program, ahead of what the program needs. */
static int load_preloads(struct closure *c, struct error *err)
{
	char text[4096];
	int fd = open(PRELOAD_PATH, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = pread(fd, text, sizeof(text), 0);
	close(fd);
	if (n < 0 || n == sizeof(text))
		return error_set(err, ERR_INPUT, PRELOAD_PATH " cannot be read, or has %zu bytes or more",
			sizeof(text));
	text[n] = '\0';
	for (char *hash; (hash = strchr(text, '#'));)
		memset(hash, ' ', strcspn(hash, "\n"));
	char *save = NULL;
	for (char *name = strtok_r(text, " \t\n:", &save); name; name = strtok_r(NULL, " \t\n:", &save))
		if (load_library(c, 0, name, false, err) < 0)
			return -1;
	return 0;
}

/* The interpreter is mapped as it is; ld.so needs no library itself, and answers to its path and SONAME. */
static int load_interp(struct closure *c, const char *interp, struct error *err)
{
	struct elf elf;
	int rc = -1;
	int fd = open(interp, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		error_set_errno(err, errno, "cannot open the ELF interpreter %s (needed by %s)", interp,
			c->objects[0].path);
		return -1;
	}
	if (open_elf(&fd, interp, &elf, err) == 0) {
		char *path = strdup(interp);
		if (!path)
			error_set(err, ERR_NOMEM, "no memory for a path");
		else if (record(c, CODE_INTERP, interp, fd, err) == 0)
			rc = add_object(c, path, fd, &elf, 0, err);
		else
			free(path);
		elf_close(&elf);
	}
	close(fd);
	return rc < 0 ? error_wrap(err, "ELF interpreter of %s", c->objects[0].path) : 0;
}

/* What objects need, from number `from` on. Breadth first, as ld.so does: who loads a library first decides whose RPATH counts. */
static int load_needed(struct closure *c, size_t from, size_t interp, struct error *err)
{
	for (size_t i = from; i < c->count; i++) {
		if (i == interp)
			continue;
		for (size_t k = 0; k < c->objects[i].dyn.needed_count; k++)
			if (load_library(c, i, c->objects[i].dyn.needed[k], true, err) < 0)
				return -1;
	}
	return 0;
}

static int load_all(struct closure *c, const char *interp, struct error *err)
{
	if (load_interp(c, interp, err) < 0 || search_init(&c->search, interp, err) < 0)
		return -1;
	c->has_search = true;
	if (c->search.kind == LDSO_GLIBC && load_preloads(c, err) < 0)
		return -1;
	return load_needed(c, 0, 1, err);
}

static int close_elf_program(struct closure *c, const char *path, int fd, struct error *err)
{
	struct elf elf;
	char *interp = NULL;
	if (open_elf(&fd, path, &elf, err) < 0)
		return -1;
	/* $ORIGIN of a program is that of /proc/self/exe: links resolved. */
	char *resolved = realpath(path, NULL);
	int rc = -1;
	if (!resolved)
		error_set_errno(err, errno, "cannot resolve the path %s", path);
	else if (elf_interp(&elf, &interp, err) < 0)
		error_wrap(err, "%s", path);
	else if (record(c, CODE_PROGRAM, path, fd, err) == 0) {
		rc = add_object(c, resolved, fd, interp ? &elf : NULL, NO_LOADER, err);
		resolved = NULL;
	}
	if (rc == 0 && interp)
		rc = load_all(c, interp, err);
	free(resolved);
	free(interp);
	elf_close(&elf);
	return rc;
}

/* One file of the chain of `#!` lines. 1: a script, next names its interpreter; 0: an ELF program, done. */
static int close_file(struct closure *c, const char *path, struct shebang *next, struct error *err)
{
	char head[SHEBANG_MAX];
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_set_errno(err, errno, "cannot open %s", path);
	int rc = -1;
	ssize_t n = fstat(fd, &st) < 0 ? -1 : S_ISREG(st.st_mode) ? pread(fd, head, sizeof(head), 0) : 0;
	if (n < 0)
		error_set_errno(err, errno, "cannot read %s", path);
	else if (!S_ISREG(st.st_mode))
		error_set(err, ERR_INPUT, "%s has mode %o, wanted a regular file", path, st.st_mode);
	else if (elf_magic(head, (size_t)n))
		rc = close_elf_program(c, path, fd, err);
	else if ((rc = shebang_parse(head, (size_t)n, next, err)) < 0)
		error_wrap(err, "%s", path);
	else if (rc == 0)
		rc = error_set(
			err, ERR_INPUT, "%s is neither an ELF program nor a script with a \"#!\" line", path);
	else
		rc = record(c, CODE_SCRIPT, path, fd, err) < 0 ? -1 : 1;
	close(fd);
	return rc;
}

/* A file, and what it takes to run it, as c->extension says. */
static int close_chain(struct closure *c, const char *file, struct error *err)
{
	struct shebang next;
	char path[PATH_MAX];
	int rc = 1;
	if ((size_t)snprintf(path, sizeof(path), "%s", file) >= sizeof(path))
		return error_set(err, ERR_LIMIT, "path of the program has %zu bytes, wanted below %d",
			strlen(file), PATH_MAX);
	for (int depth = 0; rc == 1; depth++) {
		if (depth > SHEBANG_DEPTH)
			return error_set(err, ERR_LIMIT, "%s: more than %d interpreters in a row are scripts",
				file, SHEBANG_DEPTH);
		rc = close_file(c, path, &next, err);
		if (rc == 1)
			memcpy(path, next.interp, sizeof(next.interp));
	}
	return rc;
}

int closure_compute(const char *program, struct manifest *ret, struct error *err)
{
	return closure_compute_by(measure_fd, program, ret, err);
}

int closure_compute_by(measure_fn how, const char *program, struct manifest *ret, struct error *err)
{
	struct closure c = {.how = how};
	int rc = close_chain(&c, program, err);
	if (rc == 0) {
		manifest_sort(&c.manifest);
		*ret = c.manifest;
		c.manifest = (struct manifest){0};
	}
	closure_free(&c);
	return rc;
}

/* A shared library, which only dlopen(3) maps? False also for what cannot be read: who takes it for a program says why. */
static bool is_library(const char *file)
{
	struct elf_dynamic dyn = {0};
	struct error err;
	struct stat st;
	struct elf elf;
	bool is = false;
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && open_elf(&fd, file, &elf, &err) == 0) {
		is = elf.header.e_type == ET_DYN && !elf_segment(&elf, PT_INTERP) &&
		     elf_dynamic(&elf, &dyn, &err) == 0 && !(dyn.flags_1 & DF_1_PIE);
		elf_dynamic_free(&dyn);
		elf_close(&elf);
	}
	close(fd);
	return is;
}

/* The objects that ld.so has mapped before the program can load a library: all but their digests, which are known. */
static int load_context(struct closure *c, const struct manifest *m, struct error *err)
{
	for (size_t i = 0; i < m->count; i++)
		if (m->entries[i].role == CODE_PROGRAM && close_chain(c, m->entries[i].path, err) < 0)
			return -1;
	if (c->count == 0)
		return error_set(
			err, ERR_INPUT, "manifest of %zu entries has no program to extend", m->count);
	/* A static program's libraries are those of programs that it executes. */
	if (!c->has_search && search_init(&c->search, GLIBC_INTERP, err) < 0)
		return -1;
	c->has_search = true;
	return 0;
}

static int close_library(struct closure *c, const char *file, struct error *err)
{
	struct found f;
	struct stat st;
	struct elf elf;
	size_t at = c->count;
	int rc = search_open(file, &f, err);
	if (rc <= 0)
		return rc < 0 ? -1 : error_set(err, ERR_NOT_FOUND, "library %s not found", file);
	rc = record(c, CODE_LIBRARY, f.path, f.fd, err);
	if (rc == 0 && fstat(f.fd, &st) < 0)
		rc = error_set_errno(err, errno, "cannot stat %s", f.path);
	for (size_t i = 0; rc == 0 && i < c->count; i++)
		if (c->objects[i].dev == st.st_dev && c->objects[i].ino == st.st_ino)
			goto out; /* mapped already */
	if (rc == 0 && (rc = open_elf(&f.fd, f.path, &elf, err)) == 0) {
		rc = add_object(c, f.path, f.fd, &elf, 0, err);
		f.path = NULL;
		elf_close(&elf);
	}
	if (rc == 0)
		rc = load_needed(c, at, NO_LOADER, err);
out:
	free(f.path);
	close(f.fd);
	return rc;
}

int closure_extend(
	const char *file, const char *const *named, size_t named_count, struct manifest *m, struct error *err)
{
	struct closure c = {.known = m, .how = measure_fd};
	int rc;
	if (is_library(file)) {
		rc = load_context(&c, m, err);
		c.named = named;
		c.named_count = named_count;
		if (rc == 0)
			rc = close_library(&c, file, err);
	} else {
		c.extension = true;
		rc = close_chain(&c, file, err);
	}
	if (rc == 0)
		rc = manifest_merge(m, &c.manifest, err);
	closure_free(&c);
	return rc;
}
