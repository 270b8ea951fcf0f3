/* scone collateral import: what makers publish about their platforms, checked and kept. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/cli.h"
#include "cli/evidence_input.h"
#include "cli/home.h"
#include "evidence/collateral_item.h"
#include "evidence/intel_json.h"
#include "wire/collateral_dir.h"

struct import {
	const struct args *a;
	char *dir; /* owned */
	struct collateral *new, *old; /* owned */
	struct verify_context ctx;
	struct trust_root roots[2];
	json_t *done;
};

static int make_directory(const char *path, struct error *err)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "%s cannot be made", path);
	return 0;
}

/* Whole, synced, then renamed: a reader sees the old or the new. */
static int replace(const char *dir, const char *name, const struct buf *b, struct error *err)
{
	char *path = NULL, *fresh = NULL;
	int fd = -1, rc = 0;

	if (asprintf(&path, "%s/%s", dir, name) < 0 ||
		asprintf(&fresh, "%s/.%s.%d", dir, name, getpid()) < 0) {
		free(path);
		return error_set(err, ERR_NOMEM, "no memory");
	}
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0 || write(fd, b->data, b->len) != (ssize_t)b->len || fsync(fd) < 0)
		rc = error_set_errno(err, errno, "%s cannot be written", fresh);
	if (fd >= 0)
		close(fd);
	if (rc == 0 && rename(fresh, path) < 0)
		rc = error_set_errno(err, errno, "%s cannot be renamed to %s", fresh, path);
	if (rc < 0)
		(void)unlink(fresh);
	free(path);
	free(fresh);
	return rc;
}

/* Is there something at least as new of the same name, in the directory or later among the new? */
static bool superseded(const struct import *im, size_t i, const struct collateral_item *item)
{
	struct collateral_item other;

	for (size_t k = 0; k < collateral_items(im->new); k++) {
		collateral_item(im->new, k, &other);
		if (k != i && strcmp(other.name, item->name) == 0 &&
			(collateral_item_newer(&other, item) ||
				(k > i && !collateral_item_newer(item, &other))))
			return true;
	}
	for (size_t k = 0; im->old && k < collateral_items(im->old); k++) {
		collateral_item(im->old, k, &other);
		if (strcmp(other.name, item->name) == 0 && collateral_item_newer(&other, item))
			return true;
	}
	return false;
}

static int import_item(struct import *im, size_t i, struct error *err)
{
	struct collateral_item item;
	bool keep;
	struct buf b;
	char until[32];
	int rc;

	collateral_item(im->new, i, &item);
	if (collateral_item_check(im->new, i, &im->ctx, err) < 0)
		return error_wrap(err, "%s", item.what);
	keep = superseded(im, i, &item);
	buf_init(&b, 4 * COLLATERAL_FILE_MAX);
	rc = keep ? 0 : collateral_item_write(im->new, i, &b, err);
	if (rc == 0 && !keep)
		rc = replace(im->dir, item.name, &b, err);
	buf_free(&b);
	if (rc < 0)
		return -1;
	time_text(item.until, until);
	return json_array_append_new(im->done, json_pack("{s:s,s:s,s:s,s:b}", "file", item.name, "what",
						       item.what, "until", until, "imported", !keep)) < 0
		       ? error_set(err, ERR_NOMEM, "no memory")
		       : 0;
}

static int load(struct import *im, struct error *err)
{
	const char *root = im->a->value[OPT_TRUST_ROOT];

	im->new = collateral_new();
	im->old = collateral_new();
	im->done = json_array();
	if (!im->new || !im->old || !im->done)
		return error_set(err, ERR_NOMEM, "no memory");
	if (root) {
		im->roots[0].tee = TEE_SGX;
		if (evidence_input_root(root, im->roots[0].key_hash, err) < 0)
			return -1;
		im->roots[1] = im->roots[0];
		im->roots[1].tee = TEE_TDX;
		im->ctx.roots = im->roots;
		im->ctx.root_count = 2;
	}
	if (evidence_input_time(im->a, &im->ctx.now, err) < 0)
		return -1;
	im->dir = evidence_input_collateral_path(im->a, err);
	if (!im->dir)
		return -1;
	for (int i = 0; i < im->a->count; i++)
		if (collateral_load(im->new, im->a->operands[i], err) < 0)
			return -1;
	if (collateral_items(im->new) == 0)
		return error_set(err, ERR_INPUT,
			"certificates only; wanted TCB info, an identity or a revocation list with them");
	return 0;
}

/* All are checked before any is written. */
static int import(struct import *im, struct error *err)
{
	int lock = -1, rc = 0;

	for (size_t i = 0; i < collateral_items(im->new); i++) {
		struct collateral_item item;

		collateral_item(im->new, i, &item);
		if (collateral_item_check(im->new, i, &im->ctx, err) < 0)
			return error_wrap(err, "%s", item.what);
	}
	if (!im->a->value[OPT_COLLATERAL]) {
		lock = home_lock(err); /* makes home, too */
		if (lock < 0)
			return -1;
	}
	if (make_directory(im->dir, err) < 0 || collateral_load(im->old, im->dir, err) < 0)
		rc = -1;
	for (size_t i = 0; rc == 0 && i < collateral_items(im->new); i++)
		rc = import_item(im, i, err);
	if (lock >= 0)
		close(lock);
	return rc;
}

static int print_done(const struct import *im)
{
	json_t *one;
	size_t i;

	if (im->a->value[OPT_JSON])
		return cli_print_json(json_pack("{s:s,s:O}", "directory", im->dir, "documents", im->done));
	json_array_foreach (im->done, i, one) {
		char *what = cli_clean(json_string_value(json_object_get(one, "what")));

		printf("%s: %s, until %s%s\n", json_string_value(json_object_get(one, "file")),
			what ? what : "", json_string_value(json_object_get(one, "until")),
			json_is_true(json_object_get(one, "imported"))
				? ""
				: " (the one that is there is as new)");
		free(what);
	}
	return cli_done();
}

int verb_collateral_import(const struct args *a)
{
	struct import im = {.a = a};
	struct error err = {0};
	json_t *details;
	int rc;

	if (load(&im, &err) < 0 || import(&im, &err) < 0) {
		details = err.check ? json_pack("{s:s}", "check", err.check) : NULL;
		if (err.check)
			error_wrap(&err, "refused: %s", err.check);
		rc = cli_fail(a, err.check ? CLI_UNTRUSTED : cli_exit_code(&err), &err, details);
		json_decref(details);
	} else {
		rc = print_done(&im);
	}
	collateral_free(im.new);
	collateral_free(im.old);
	json_decref(im.done);
	free(im.dir);
	return rc;
}
