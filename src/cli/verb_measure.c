/* scone measure: what code a program is, as the session language's mrenclave. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/cli.h"
#include "cli/runtime_path.h"
#include "core/encode.h"
#include "measure/measure.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The file that `scone run` would take for this word: itself if it has a '/', else the first executable one in PATH. Fresh storage. */
static char *find_program(const char *word, struct error *err)
{
	const char *path = getenv("PATH");
	struct stat st;
	size_t n;
	char *file;

	if (strchr(word, '/')) {
		if (!access(word, F_OK))
			return strdup(word);
		error_set_errno(err, errno, "%s", word);
		err->code = ERR_NOT_FOUND;
		return NULL;
	}
	for (path = path && *path ? path : DEFAULT_PATH; *word; path += n + 1) {
		n = strcspn(path, ":");
		if (asprintf(&file, "%.*s%s%s", (int)n, path, n ? "/" : "./", word) < 0) {
			error_set(err, ERR_NOMEM, "no memory");
			return NULL;
		}
		if (!stat(file, &st) && S_ISREG(st.st_mode) && !access(file, X_OK))
			return file;
		free(file);
		if (!path[n])
			break;
	}
	error_set(err, ERR_NOT_FOUND, "program '%s' is in no directory of PATH", word);
	return NULL;
}

static int runtime_digest(const char *path, uint8_t ret[SHA256_LEN], struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
	uint64_t size;

	if (fd < 0)
		return error_set_errno(err, errno, "the runtime %s cannot be opened", path);
	rc = measure_fd(fd, ret, &size, err);
	close(fd);
	return rc ? error_wrap(err, "the runtime %s", path) : 0;
}

struct result {
	char *program, *runtime;
	uint8_t runtime_digest[SHA256_LEN], root[SHA256_LEN], measurement[SHA256_LEN];
	struct manifest manifest;
};

static int measure_program(const struct args *a, struct result *r, struct error *err)
{
	r->program = find_program(a->operands[0], err);
	r->runtime = r->program ? runtime_path(a->value[OPT_RUNTIME], err) : NULL;
	if (!r->runtime || runtime_digest(r->runtime, r->runtime_digest, err) ||
		closure_compute(r->program, &r->manifest, err))
		return -1;
	for (size_t i = 0; i < a->code_count; i++)
		if (closure_extend(a->code[i], a->code, a->code_count, &r->manifest, err))
			return error_wrap(err, "--code %s", a->code[i]);
	manifest_root(&r->manifest, r->root);
	measurement(r->runtime_digest, r->root, r->measurement);
	return 0;
}

static int print_text(const struct args *a, const struct result *r)
{
	char hex[2 * SHA256_LEN + 1];

	if (a->value[OPT_VERBOSE]) {
		hex_encode(r->runtime_digest, SHA256_LEN, hex);
		printf("%-11s  %s  %s\n", "runtime", hex, r->runtime);
		for (size_t i = 0; i < r->manifest.count; i++) {
			const struct code_entry *e = &r->manifest.entries[i];

			hex_encode(e->digest, SHA256_LEN, hex);
			printf("%-11s  %s  %s\n", code_role_name(e->role), hex, e->path);
		}
		hex_encode(r->root, SHA256_LEN, hex);
		printf("%-11s  %s\n%-11s  ", "manifest", hex, "measurement");
	}
	hex_encode(r->measurement, SHA256_LEN, hex);
	puts(hex);
	return cli_done();
}

static int print_json(const struct result *r)
{
	char hex[2 * SHA256_LEN + 1], root[2 * SHA256_LEN + 1], runtime[2 * SHA256_LEN + 1];
	json_t *closure = json_array();

	for (size_t i = 0; i < r->manifest.count; i++) {
		const struct code_entry *e = &r->manifest.entries[i];

		hex_encode(e->digest, SHA256_LEN, hex);
		if (json_array_append_new(
			    closure, json_pack("{s:s,s:s,s:s,s:I}", "role", code_role_name(e->role), "path",
					     e->path, "digest", hex, "size", (json_int_t)e->size)))
			break;
	}
	hex_encode(r->measurement, SHA256_LEN, hex);
	hex_encode(r->root, SHA256_LEN, root);
	hex_encode(r->runtime_digest, SHA256_LEN, runtime);
	return cli_print_json(json_pack("{s:s,s:s,s:{s:s,s:s},s:s,s:o}", "program", r->program, "measurement",
		hex, "runtime", "path", r->runtime, "digest", runtime, "manifest_root", root, "closure",
		closure));
}

int verb_measure(const struct args *a)
{
	struct error err = {0};
	struct result r = {0};
	int rc;

	manifest_init(&r.manifest);
	if (measure_program(a, &r, &err))
		rc = cli_fail(a, cli_exit_code(&err), &err, NULL);
	else
		rc = a->value[OPT_JSON] ? print_json(&r) : print_text(a, &r);
	manifest_free(&r.manifest);
	free(r.program);
	free(r.runtime);
	return rc;
}
