/* scone volume verify, resize: the volume as a whole. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "cli/progress.h"
#include "cli/verb_volume.h"

#define FAULTS_SHOWN 1000

struct verification {
	const struct args *a;
	struct progress progress;
	bool begun;
	json_t *faults;
	uint64_t count;
};

static void on_fault(void *ctx, const struct volume_fault *f)
{
	struct verification *v = ctx;
	json_t *j;

	if (v->count++ >= FAULTS_SHOWN)
		return;
	if (v->progress.drawn)
		progress_end(&v->progress);
	fprintf(stderr, "scone: damaged: %s\n", f->text);
	j = json_pack("{s:s*,s:s*,s:s}", "structure", f->structure, "field", f->field, "text", f->text);
	if (j && f->block != UINT64_MAX)
		(void)json_object_set_new(j, "block", json_integer((json_int_t)f->block));
	if (j && f->inode != UINT64_MAX)
		(void)json_object_set_new(j, "inode", json_integer((json_int_t)f->inode));
	if (j && f->index != UINT64_MAX)
		(void)json_object_set_new(j, "index", json_integer((json_int_t)f->index));
	(void)json_array_append_new(v->faults, j);
}

static int on_progress(void *ctx, const struct volume_verify_progress *p)
{
	struct verification *v = ctx;

	if (!v->begun)
		progress_begin(&v->progress, "verify", p->blocks_total * VOLUME_BLOCK);
	v->begun = true;
	progress_set(&v->progress, p->blocks_done * VOLUME_BLOCK);
	return stop_signal();
}

static int print_verdict(struct verification *v, const struct volume_session *s, uint64_t blocks)
{
	char version[VOLUME_VERSION_TEXT], size[16];
	bool good = v->count == 0;
	int code = CLI_OK;

	volume_version_text(&s->report.found, version);
	if (v->a->value[OPT_JSON])
		code = cli_print_json(json_pack("{s:b,s:s,s:I,s:I,s:O}", "verified", (int)good, "version",
			version, "blocks", (json_int_t)blocks, "fault_count", (json_int_t)v->count, "faults",
			v->faults));
	else if (good)
		printf("verified %s in %" PRIu64 " blocks, version %s\n",
			progress_bytes(blocks * VOLUME_BLOCK, size), blocks, version);
	else
		fprintf(stderr, "scone: error: %" PRIu64 " faults\n", v->count);
	return good ? (code ? code : cli_done()) : CLI_DAMAGED;
}

int verb_volume_verify(const struct args *a)
{
	struct verification v = {.a = a, .faults = json_array()};
	struct volume_session s = {.on_fault = on_fault, .on_fault_ctx = &v};
	struct volume_verify_cursor cursor = {0};
	struct error err = {0};
	int rc, code;

	stop_install();
	if (volume_args_open(a, a->operands[0], true, &s, &err)) {
		json_decref(v.faults);
		return volume_fail(a, &err);
	}
	rc = volume_verify(s.v, &cursor, on_progress, &v);
	progress_end(&v.progress);
	if (rc == 0 || rc == -EBADMSG) {
		code = print_verdict(&v, &s, cursor.blocks_done);
	} else {
		if (stop_signal())
			error_set(&err, ERR_CONFLICT, "verification of %s: stopped by signal %d",
				a->operands[0], stop_signal());
		else
			volume_session_error(&s, rc, &err, "verification of %s", a->operands[0]);
		code = volume_stopped(volume_fail(a, &err));
	}
	volume_session_drop(&s);
	json_decref(v.faults);
	return code;
}

int verb_volume_resize(const struct args *a)
{
	struct volume_session s = {0};
	struct error err = {0};
	struct volume_statfs f;
	uint64_t size;
	int rc;

	if (!a->value[OPT_SIZE])
		rc = error_set(&err, ERR_INPUT, "--size BYTES is wanted");
	else
		rc = volume_size_parse(a->value[OPT_SIZE], &size, &err);
	if (rc || volume_args_open(a, a->operands[0], false, &s, &err))
		return volume_fail(a, &err);
	rc = volume_resize(s.v, size);
	if (rc == -EBUSY)
		rc = error_set(&err, ERR_CONFLICT, "%s has more in use than would fit into %s bytes",
			a->operands[0], a->value[OPT_SIZE]);
	else if (rc)
		rc = volume_session_error(
			&s, rc, &err, "resize of %s to %s", a->operands[0], a->value[OPT_SIZE]);
	if (rc == 0) {
		volume_statfs_get(s.v, &f);
		rc = volume_file_cut(&s.file, f.size);
		if (rc)
			volume_session_error(&s, rc, &err, "%s", a->operands[0]);
	}
	if (rc) {
		volume_session_drop(&s);
		return volume_fail(a, &err);
	}
	volume_version_get(s.v, &s.report.found);
	return volume_print(a, &s);
}
