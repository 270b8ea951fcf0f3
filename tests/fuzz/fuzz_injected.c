/* Injected files: the state handed over at exec, names, and a series of changes against a plain array. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"
#include "shield/fs/injected.h"

#define MODEL_MAX 200000

static char *text_of(const uint8_t *p, size_t n)
{
	char *s = malloc(n + 1);

	fuzz_check(s != NULL);
	memcpy(s, p, n);
	s[n] = '\0';
	return s;
}

/* What decodes encodes to the same bytes, and holds only what injected_add would have taken. */
static void run_handover(const uint8_t *p, size_t n)
{
	struct injected_table *t;
	struct buf b;
	struct rd r;

	rd_init(&r, p, n);
	if (injected_decode(&r, NULL, &t) != 0)
		return;
	buf_init_secret(&b, 1 << 20);
	injected_encode(t, &b);
	fuzz_check(!b.failed && b.len == n - r.left && memcmp(b.data, p, b.len) == 0);
	buf_free(&b);
	fuzz_check(injected_count(t) <= INJECTED_COUNT_MAX);
	for (uint32_t i = 0; i < injected_count(t); i++) {
		const struct injected_file *f = injected_get(t, i);

		fuzz_check(f->info.path[0] == '/' && f->info.path[1] && f->info.mode <= 07777 &&
			   f->size <= INJECTED_FILE_MAX);
		fuzz_check(injected_find_path(t, f->info.path) == (int)i);
		fuzz_check(!f->info.real || injected_find_path(t, f->info.real) == (int)i);
		fuzz_check(injected_has_name(
			t, strrchr(f->info.path, '/') + 1, strlen(strrchr(f->info.path, '/') + 1)));
	}
	injected_free(t);
}

static void run_normalise(const uint8_t *p, size_t n)
{
	char *path = text_of(p, n), out[256], again[256];
	long len = injected_normalise(path, out, sizeof(out));

	if (len < 0) {
		fuzz_check(len == -EINVAL ? path[0] != '/'
					  : len == -ENAMETOOLONG && strlen(path) >= sizeof(out));
	} else {
		fuzz_check(out[0] == '/' && strlen(out) == (size_t)len && (size_t)len <= strlen(path));
		fuzz_check(!strstr(out, "//") && !strstr(out, "/./") && !strstr(out, "/../"));
		fuzz_check(len == 1 || out[len - 1] != '/');
		fuzz_check(len < 2 || strcmp(out + len - 2, "/.") != 0);
		fuzz_check(len < 3 || strcmp(out + len - 3, "/..") != 0);
		fuzz_check(injected_normalise(out, again, sizeof(again)) == len && strcmp(out, again) == 0);
	}
	free(path);
}

static uint8_t model[MODEL_MAX];
static size_t model_size;

static void model_write(size_t off, const uint8_t *p, size_t n)
{
	if (off > model_size)
		memset(model + model_size, 0, off - model_size);
	memcpy(model + off, p, n);
	if (off + n > model_size)
		model_size = off + n;
}

static void model_truncate(size_t size)
{
	if (size > model_size)
		memset(model + model_size, 0, size - model_size);
	model_size = size;
}

/* Each change is five bytes: what, where, how much. */
static void run_changes(const uint8_t *p, size_t n)
{
	struct injected_info info = {.path = "/f"};
	struct injected_table *t;

	fuzz_check(injected_new(NULL, &t) == 0 && injected_add(t, &info, "initial", 7) == 0);
	model_size = 0;
	model_write(0, (const uint8_t *)"initial", 7);
	for (; n >= 5; p += 5, n -= 5) {
		size_t at = ((size_t)p[1] << 8 | p[2]) * 2, len = p[3] < n ? p[3] : n;
		const struct injected_file *f;

		if (p[0] & 1) {
			fuzz_check(injected_write(t, 0, at, p, len) == (long)len);
			if (len > 0)
				model_write(at, p, len);
		} else {
			fuzz_check(injected_truncate(t, 0, at) == 0);
			model_truncate(at);
		}
		f = injected_get(t, 0);
		fuzz_check(f->size == model_size && f->cap >= f->size);
		fuzz_check(model_size == 0 || memcmp(f->data, model, model_size) == 0);
	}
	injected_free(t);
}

int main(int argc, char **argv)
{
	static const char *const words[] = {"/", "//", "/.", "/..", "/../", "..", "a", "/a", "\xff", NULL};
	static const uint8_t changes[] = {
		1, 0, 0, 5, 9, 0, 0, 3, 0, 0, 1, 16, 0, 200, 1, 0, 0, 0, 0, 0, 1, 0, 1, 7, 7};
	struct injected_info a = {.path = "/etc/a.conf",
		.mode = 0640,
		.from_host = true,
		.has_inode = true,
		.dev = 1,
		.ino = 2};
	struct injected_info b = {.path = "/run/b", .real = "/private/b", .mode = 0400, .mtime = 1};
	const struct fuzz_seed paths[] = {
		FUZZ_SEED("/a/../b/./c//d"), FUZZ_SEED("/../.."), FUZZ_SEED("relative")};
	const struct fuzz_seed series[] = {{changes, sizeof(changes)}};
	struct injected_table *t;
	struct buf encoded;
	int rc;

	fuzz_check(injected_new(NULL, &t) == 0 && injected_add(t, &a, "alpha", 5) == 0 &&
		   injected_add(t, &b, "bravo", 5) == 1);
	fuzz_check(injected_write(t, 1, 5, "!", 1) == 1);
	buf_init_secret(&encoded, 1 << 20);
	injected_encode(t, &encoded);
	injected_free(t);
	{
		const struct fuzz_seed states[] = {{encoded.data, encoded.len}};
		const struct fuzz_target targets[] = {
			{"handover", run_handover, states, 1, words},
			{"normalise", run_normalise, paths, 3, words},
			{"changes", run_changes, series, 1, NULL},
		};

		rc = fuzz_main(argc, argv, targets, 3, 100000);
	}
	buf_free(&encoded);
	return rc;
}
