#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "runtime/config.h"
#include "runtime/volume_source.h"

/* No path leads into a volume here; tests/e2e/volume_service.sh has those that do. */
int volume_source_find(const char *path, struct volume_source *ret)
{
	ret->inside = false;
	return 0;
}

int volume_source_read(const struct volume_source *s, struct buf *out)
{
	return -ENOENT;
}

static char dir[64];

struct result {
	char **argv, **env, *pwd;
	struct injected_table *files;
	struct error err;
};

static const char *const none[] = {NULL};

static int apply(
	const struct service_config *c, const char *const *argv, const char *const *env, struct result *r)
{
	*r = (struct result){0};
	return config_apply(c, (char **)(uintptr_t)argv, (char **)(uintptr_t)env, &r->argv, &r->env, &r->pwd,
		&r->files, &r->err);
}

static void release(struct result *r)
{
	config_free_strings(r->argv);
	config_free_strings(r->env);
	free(r->pwd);
	injected_free(r->files);
}

static void start(struct service_config *c)
{
	service_config_init(c);
	c->session = strdup("bank");
	c->service = strdup("web");
	c->mode = strdup("simulation");
}

static void add_arg(struct service_config *c, const char *text, uint32_t host)
{
	struct config_value *v = service_config_add_arg(c);

	assert_non_null(v);
	buf_puts(&v->value, text);
	v->host = host;
}

static void add_env(struct service_config *c, const char *name, const char *text, uint32_t host)
{
	struct config_value *v = service_config_add_env(c, name);

	assert_non_null(v);
	buf_puts(&v->value, text);
	v->host = host;
}

static void add_secret(struct service_config *c, const char *name, const char *kind, const void *p, size_t n)
{
	struct config_secret *s = service_config_add_secret(c, name, kind);

	assert_non_null(s);
	buf_put(&s->value, p, n);
}

static void put_file(const char *name, const char *text, size_t n, char ret[128])
{
	int fd;

	snprintf(ret, 128, "%s/%s", dir, name);
	fd = open(ret, O_WRONLY | O_CREAT | O_TRUNC, 0640);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	close(fd);
}

static void test_argv_env(void **state)
{
	static const char *const argv[] = {"prog", "one", "$$SCONE::x$$", NULL};
	static const char *const env[] = {"HOMER=no", "HOME=/root", "HOME=/second", NULL};
	struct service_config c;
	struct result r;

	start(&c);
	add_arg(&c, "report", 0);
	add_arg(&c, "", 2);
	add_arg(&c, "--key=s3cr3t", 0);
	add_arg(&c, "", 1);
	add_env(&c, "TZ", "UTC", 0);
	add_env(&c, "HOME", "ignored", 1);
	add_env(&c, "ABSENT", "ignored", 1);
	add_env(&c, "EMPTY", "", 0);
	c.pwd = strdup("/srv");
	assert_int_equal(apply(&c, argv, env, &r), 0);
	assert_string_equal(r.argv[0], "report");
	assert_string_equal(r.argv[1], "$$SCONE::x$$"); /* host text is never scanned */
	assert_string_equal(r.argv[2], "--key=s3cr3t");
	assert_string_equal(r.argv[3], "one");
	assert_null(r.argv[4]);
	assert_string_equal(r.env[0], "TZ=UTC");
	assert_string_equal(r.env[1], "HOME=/root");
	assert_string_equal(r.env[2], "ABSENT=");
	assert_string_equal(r.env[3], "EMPTY=");
	assert_null(r.env[4]);
	assert_string_equal(r.pwd, "/srv");
	assert_int_equal(injected_count(r.files), 0);
	release(&r);
	service_config_free(&c);

	start(&c); /* no command: the program's name alone */
	assert_int_equal(apply(&c, argv, none, &r), 0);
	assert_string_equal(r.argv[0], "prog");
	assert_null(r.argv[1]);
	assert_null(r.env[0]);
	assert_null(r.pwd);
	release(&r);
	service_config_free(&c);
}

static void refused(const struct service_config *c, const char *const *argv, const char *wanted)
{
	struct result r;

	assert_int_equal(apply(c, argv, none, &r), -1);
	if (!strstr(r.err.text, wanted))
		fail_msg("'%s' lacks '%s'", r.err.text, wanted);
	assert_null(r.argv);
	assert_null(r.files);
}

static void test_argv_refused(void **state)
{
	static const char *const argv[] = {"prog", "one", NULL};
	struct service_config c;

	start(&c);
	add_arg(&c, "p", 0);
	add_arg(&c, "", 2);
	refused(&c, argv, "@@2 needs 2 arguments on the command line, which has 1");
	refused(&c, none, "@@2 needs 2 arguments on the command line, which has 0");
	service_config_free(&c);

	start(&c);
	add_arg(&c, "", UINT32_MAX);
	refused(&c, argv, "@@4294967295 needs");
	service_config_free(&c);

	start(&c);
	add_arg(&c, "", 1);
	add_arg(&c, "", 1);
	refused(&c, argv, "@@1 is used twice");
	service_config_free(&c);

	start(&c);
	buf_put(&service_config_add_arg(&c)->value, "a\0b", 3);
	refused(&c, argv, "NUL");
	service_config_free(&c);

	start(&c);
	buf_put(&service_config_add_env(&c, "V")->value, "a\0b", 3);
	refused(&c, argv, "variable V of service web");
	service_config_free(&c);

	start(&c);
	add_env(&c, "A=B", "x", 0);
	refused(&c, argv, "'A=B'");
	service_config_free(&c);
}

static void test_files(void **state)
{
	static const char text[] = "[db]\nkey=$$SCONECAS:dbkey:hex$$\nuser=$$SCONE::user$$ $$ $5\n";
	struct service_config c;
	struct config_file *f;
	const struct injected_file *got;
	struct result r;
	struct stat st;
	char path[128], link_dir[128], linked[160], disk[256];
	int fd;

	put_file("db.cnf", text, sizeof(text) - 1, path);
	snprintf(link_dir, sizeof(link_dir), "%s/link", dir);
	assert_int_equal(symlink(dir, link_dir), 0);
	snprintf(linked, sizeof(linked), "%s/new.key", link_dir);
	start(&c);
	add_secret(&c, "dbkey", "binary", "\x01\xab\xff", 3);
	add_secret(&c, "user", "ascii", "ada", 3);
	assert_non_null(service_config_add_file(&c, path));
	f = service_config_add_file(&c, linked);
	f->has_content = true;
	f->mode = 0400;
	buf_put(&f->content, "a\0$$SCONE::user$$", 17); /* CAS has replaced it: not scanned again */
	assert_int_equal(apply(&c, none, none, &r), 0);
	assert_int_equal(stat(path, &st), 0);

	got = injected_get(r.files, 0);
	assert_string_equal(got->info.path, path);
	assert_int_equal(got->size, strlen("[db]\nkey=01abff\nuser=ada $$ $5\n"));
	assert_memory_equal(got->data, "[db]\nkey=01abff\nuser=ada $$ $5\n", got->size);
	assert_true(got->info.from_host && got->info.has_inode);
	assert_true(got->info.dev == st.st_dev && got->info.ino == st.st_ino);
	assert_int_equal(got->info.mode, st.st_mode & 07777);

	got = injected_get(r.files, 1);
	assert_false(got->info.from_host || got->info.has_inode);
	assert_int_equal(got->info.mode, 0400);
	assert_int_equal(got->size, 17);
	snprintf(disk, sizeof(disk), "%s/new.key", dir);
	assert_int_equal(injected_find_path(r.files, disk), 1);
	assert_int_equal(injected_find_path(r.files, linked), 1);

	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, disk, sizeof(disk)), sizeof(text) - 1);
	assert_memory_equal(disk, text, sizeof(text) - 1);
	close(fd);
	assert_int_equal(access(linked, F_OK), -1);
	release(&r);
	service_config_free(&c);
	unlink(link_dir);
}

/* One file of the host with this text: the start fails, and the sentence has `wanted` behind the file's name. */
static void file_refused(const char *text, const char *wanted)
{
	struct service_config c;
	char path[128], full[256];

	put_file("bad.cnf", text, strlen(text), path);
	snprintf(full, sizeof(full), "%s%s", path, wanted);
	start(&c);
	add_secret(&c, "known", "ascii", "value-of-known", 14);
	add_secret(&c, "raw", "binary", "\xff", 1);
	assert_non_null(service_config_add_file(&c, path));
	refused(&c, none, full);
	service_config_free(&c);
}

static void test_files_refused(void **state)
{
	struct service_config c;
	struct config_file *f;
	char path[128];

	file_refused("a\n\n$$SCONE::known$$ $$SCONECAS:MISSING$$\n",
		":3: unknown secret MISSING, files of service web may use: known, raw");
	file_refused("$$SCONE::MISSING:hex$$", ":1: unknown secret MISSING,");
	file_refused("$$SCONE::known:hex$$", ":1: ");
	file_refused("\n$$SCONE::raw|escape(json)$$", "");

	start(&c); /* no secrets at all */
	put_file("bad.cnf", "$$SCONE::x$$", 12, path);
	assert_non_null(service_config_add_file(&c, path));
	refused(&c, none, "may use: none");
	service_config_free(&c);

	start(&c);
	assert_non_null(service_config_add_file(&c, "/nonexistent/db.cnf"));
	refused(&c, none, "/nonexistent/db.cnf");
	service_config_free(&c);

	start(&c);
	assert_non_null(service_config_add_file(&c, "/tmp"));
	refused(&c, none, "not a regular file");
	service_config_free(&c);

	start(&c);
	f = service_config_add_file(&c, "relative");
	f->has_content = true;
	refused(&c, none, "absolute");
	service_config_free(&c);

	start(&c);
	service_config_add_file(&c, "/a/k")->has_content = true;
	service_config_add_file(&c, "/a/./k")->has_content = true;
	refused(&c, none, "/a/k is given twice");
	service_config_free(&c);

	snprintf(path, sizeof(path), "%s/large", dir);
	assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
	assert_int_equal(truncate(path, INJECTED_FILE_MAX + 100000), 0);
	start(&c);
	assert_non_null(service_config_add_file(&c, path));
	refused(&c, none, "longer than 16777216 bytes");
	service_config_free(&c);
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/test_config.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	static const char *const names[] = {"db.cnf", "bad.cnf", "large", "link"};
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_argv_env),
		cmocka_unit_test(test_argv_refused),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_files_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
