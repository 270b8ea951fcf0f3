#include "cas/audit_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "core/encode.h"
#include "core/log.h"
#include "crypto/hash.h"
#include "wire/audit_line.h"

#define TABLE_AUDIT "audit"
#define HEAD "head"
#define HEAD_FORMAT 1
/* Lines of one batch: HTTP_BATCH_MAX requests make a few each. */
#define BATCH_LINES_MAX (2 * 1024 * 1024)

/* lines (may be NULL): those of the last batch of a shared store, appended. */
static int read_head(struct sealed_store *ss, const char *record, struct audit_head *ret, struct buf *lines,
	struct error *err)
{
	const uint8_t *hash;
	uint8_t format;
	struct buf b;
	struct rd r;
	int rc = 0;

	memset(ret, 0, sizeof(*ret));
	if (!sealed_store_has(ss, TABLE_AUDIT, record))
		return 0;
	buf_init_secret(&b, SEALED_CONTENT_MAX);
	if (sealed_store_get(ss, TABLE_AUDIT, record, &b, err)) {
		buf_free(&b);
		return -1;
	}
	rd_init(&r, b.data, b.len);
	format = rd_u8(&r);
	ret->seq = rd_u64be(&r);
	hash = rd_bytes(&r, AUDIT_HASH_LEN);
	if (format != HEAD_FORMAT || r.failed || (!lines && r.left > 0))
		rc = error_set(err, ERR_INTERNAL, "the stored end of the audit log has format %u, wanted %d",
			format, HEAD_FORMAT);
	else
		memcpy(ret->hash, hash, AUDIT_HASH_LEN);
	if (!rc && lines) {
		buf_put(lines, r.p, r.left);
		if (lines->failed)
			rc = error_set(
				err, ERR_NOMEM, "out of memory for %zu bytes of the audit log", r.left);
	}
	ret->known = !rc;
	buf_free(&b);
	return rc;
}

static void put_head(struct audit *a, struct sealed_change *ret)
{
	struct buf b;

	buf_init(&b, AUDIT_HEAD_LEN);
	buf_put_u8(&b, HEAD_FORMAT);
	buf_put_u64be(&b, a->next - 1);
	buf_put(&b, a->prev, AUDIT_HASH_LEN);
	memcpy(a->head, b.data, AUDIT_HEAD_LEN);
	buf_free(&b);
	*ret = (struct sealed_change){
		.table = TABLE_AUDIT, .name = a->record, .content = a->head, .len = AUDIT_HEAD_LEN};
}

/* --- writing --- */

/* The file that is open must be the one that has the name, as long as CAS left it: what goes into one that was removed or cut is lost, or has a gap before it. */
static int check_file(struct audit *a, struct error *err)
{
	struct stat named, open_one;

	if (fstat(a->fd, &open_one))
		return error_set_errno(err, errno, AUDIT_FILE);
	if (fstatat(a->dir_fd, AUDIT_FILE, &named, AT_SYMLINK_NOFOLLOW)) {
		if (errno != ENOENT)
			return error_set_errno(err, errno, AUDIT_FILE);
		named.st_ino = 0;
	}
	if (named.st_ino != open_one.st_ino || named.st_dev != open_one.st_dev)
		return error_set(err, ERR_IO,
			AUDIT_FILE " was removed, moved or replaced: nothing is changed until it is back");
	if (a->torn && !ftruncate(a->fd, a->size)) {
		a->torn = false;
		open_one.st_size = a->size;
	}
	if (open_one.st_size != a->size)
		return error_set(err, ERR_IO,
			AUDIT_FILE
			" has %lld bytes, CAS has left it with %" PRId64
			": it was changed by somebody else, and nothing is changed until it is as it "
			"was",
			(long long)open_one.st_size, a->size);
	return 0;
}

/* All of it or nothing. */
static int append(struct audit *a, const struct buf *lines, struct error *err)
{
	ssize_t n;

	if (check_file(a, err))
		return -1;
	n = pwrite(a->fd, lines->data, lines->len, a->size);
	if (n == (ssize_t)lines->len) {
		a->size += n;
		a->unflushed = true;
		return 0;
	}
	error_set_errno(err, n < 0 ? errno : ENOSPC,
		AUDIT_FILE ": line %" PRIu64 " cannot be written, so nothing is changed",
		a->batch ? a->first : a->next);
	a->torn = ftruncate(a->fd, a->size) != 0;
	if (a->torn)
		log_error(AUDIT_FILE ": an unfinished line is left at byte %" PRId64 ": %m", a->size);
	return -1;
}

static int flush(struct audit *a, struct error *err)
{
	if (fdatasync(a->fd))
		return error_set_errno(err, errno, AUDIT_FILE ": cannot be flushed, so nothing is changed");
	a->unflushed = false;
	return 0;
}

static int keep(struct audit *a, const struct buf *line, struct error *err)
{
	buf_put(&a->lines, line->data, line->len);
	return a->lines.failed ? error_set(err, ERR_LIMIT, AUDIT_FILE ": more than %d bytes of lines at once",
					 BATCH_LINES_MAX)
			       : 0;
}

static int write_line(
	struct audit *a, const struct audit_note *n, uint64_t generation, bool sync, struct error *err)
{
	char actor[KEY_HASH_TEXT_MAX] = "", subject[AUDIT_COMMITMENT_MAX] = "", detail[AUDIT_COMMITMENT_MAX];
	uint8_t hash[AUDIT_HASH_LEN];
	struct audit_event e = {.seq = a->next,
		.time = (uint64_t)time(NULL),
		.generation = generation,
		.event = n->event,
		.actor = actor,
		.subject = subject,
		.detail = n->detail ? n->detail : ""};
	struct buf line;
	int rc;

	if (n->actor)
		key_hash_text(n->actor, actor);
	if (n->session)
		audit_commit(a->prev, n->session, subject);
	if (n->hash) {
		audit_commit(a->prev, n->hash, detail);
		e.detail = detail;
	}
	memcpy(e.prev, a->prev, AUDIT_HASH_LEN);
	buf_init(&line, AUDIT_LINE_MAX);
	rc = audit_line_write(&e, a->key, &line, hash, err);
	if (!rc)
		rc = a->batch ? keep(a, &line, err) : append(a, &line, err);
	buf_free(&line);
	if (rc)
		return -1;
	memcpy(a->prev, hash, AUDIT_HASH_LEN);
	a->next++;
	/* It is in the log and may be on the disk: it stays, and what follows says that it was not done. */
	if (sync && !a->batch && flush(a, err)) {
		audit_not_done(a);
		return -1;
	}
	return 0;
}

int audit_write(struct audit *a, const struct audit_note *n, struct error *err)
{
	return write_line(a, n, sealed_store_generation(a->store), false, err);
}

int audit_change(struct audit *a, const struct audit_note *n, struct sealed_change *ret, struct error *err)
{
	if (sealed_store_refuses(a->store, err) || (a->batch && audit_note_change(a, err)))
		return -1;
	if (write_line(a, n, sealed_store_next(a->store), true, err))
		return -1;
	put_head(a, ret);
	return 0;
}

static int not_done(struct audit *a, uint64_t seq, struct error *err)
{
	char detail[32];

	snprintf(detail, sizeof(detail), "%" PRIu64, seq);
	return write_line(a, &(struct audit_note){.event = "not-done", .detail = detail},
		sealed_store_generation(a->store), false, err);
}

void audit_not_done(struct audit *a)
{
	struct error err = {0};

	if (sealed_store_uncertain(a->store))
		return; /* it did, and counts as soon as the counter works */
	if (not_done(a, a->next - 1, &err))
		log_error("%s", err.text);
}

/* --- batches --- */

uint64_t audit_next(const struct audit *a)
{
	return a->next;
}

/* What the replica's record has beyond the file: lines of a batch that was done, and this CAS could not know or write it. */
static int take_over(
	struct audit *a, const struct audit_head *head, const struct buf *lines, struct error *err)
{
	const char *at = (const char *)lines->data, *end = at + lines->len, *eol;
	struct buf missing;
	int rc = 0;

	buf_init(&missing, BATCH_LINES_MAX);
	for (; at < end && !rc; at = eol + 1) {
		uint64_t seq;

		eol = memchr(at, '\n', (size_t)(end - at));
		seq = eol ? audit_number_in(at, (size_t)(eol - at), "{\"seq\":") : UINT64_MAX;
		if (!eol || seq == UINT64_MAX || (seq > a->next && !missing.len))
			rc = error_set(err, ERR_CRYPTO,
				AUDIT_FILE " ends with line %" PRIu64
					   ", and the lines of the store go from %" PRIu64 " to %" PRIu64
					   ": it was cut, or put back",
				a->next - 1, seq, head->seq);
		else if (seq >= a->next)
			buf_put(&missing, at, (size_t)(eol + 1 - at));
	}
	if (!rc && missing.len)
		rc = append(a, &missing, err) || flush(a, err) ? -1 : 0;
	if (!rc && missing.len) {
		a->next = head->seq + 1;
		memcpy(a->prev, head->hash, AUDIT_HASH_LEN);
	}
	buf_free(&missing);
	return rc;
}

static int catch_up(struct audit *a, struct error *err)
{
	struct audit_head head;
	struct buf lines;
	int rc;

	buf_init(&lines, BATCH_LINES_MAX);
	rc = read_head(a->store, a->record, &head, &lines, err);
	if (!rc && head.known && head.seq >= a->next)
		rc = take_over(a, &head, &lines, err);
	buf_free(&lines);
	return rc;
}

int audit_begin(struct audit *a, struct error *err)
{
	if (check_file(a, err) || (a->doubt && catch_up(a, err)))
		return -1;
	a->doubt = false;
	a->batch = true;
	a->first = a->next;
	memcpy(a->first_prev, a->prev, AUDIT_HASH_LEN);
	buf_reset(&a->lines);
	a->change_count = 0;
	return 0;
}

void audit_drop(struct audit *a)
{
	if (!a->batch)
		return;
	a->batch = false;
	a->next = a->first;
	memcpy(a->prev, a->first_prev, AUDIT_HASH_LEN);
}

int audit_end(struct audit *a, struct error *err)
{
	if (a->lines.len && append(a, &a->lines, err)) {
		audit_drop(a);
		return -1;
	}
	a->batch = false;
	return 0;
}

/* The replica's record, with its lines. What was written before is flushed, so that the file has no gap. */
static int stage(struct audit *a, struct error *err)
{
	struct sealed_change change;
	struct buf content;
	int rc = a->unflushed ? flush(a, err) : 0;

	put_head(a, &change);
	buf_init(&content, SEALED_CONTENT_MAX);
	buf_put(&content, change.content, change.len);
	buf_put(&content, a->lines.data, a->lines.len);
	change.content = content.data;
	change.len = content.len;
	if (!rc)
		rc = content.failed ? error_set(err, ERR_NOMEM, "out of memory")
				    : sealed_store_apply(a->store, &change, 1, err);
	buf_free(&content);
	return rc;
}

/* Written, but not done: each says so. */
static void disown(struct audit *a)
{
	struct error err = {0};

	if (sealed_store_uncertain(a->store))
		return; /* they are there, and count as soon as the counter works */
	for (size_t i = 0; i < a->change_count; i++)
		if (not_done(a, a->changes[i], &err))
			log_error("%s", err.text);
}

int audit_prepare(struct audit *a, struct error *err)
{
	int rc;

	if (a->shared)
		rc = stage(a, err);
	else
		rc = a->lines.len ? append(a, &a->lines, err) : 0;
	if (rc) {
		audit_drop(a);
		return -1;
	}
	if (a->shared || !flush(a, err))
		return 0;
	/* They may be on the disk: they stay, and what follows says that it was not done. */
	a->batch = false;
	disown(a);
	return -1;
}

void audit_settle(struct audit *a, const struct error *failure)
{
	struct error why = {0};

	if (a->shared && !failure) {
		/* Done, and in the store: what cannot be appended now is taken from there, before anything else is done. */
		if (append(a, &a->lines, &why)) {
			log_error("%s", why.text);
			audit_drop(a);
			a->doubt = true;
		}
	} else if (a->shared) {
		audit_drop(a);
		a->doubt = failure->code != ERR_CONFLICT;
	} else if (failure) {
		a->batch = false;
		disown(a);
	}
	a->batch = false;
}

/* --- the log of an earlier start --- */

static int begin(struct audit *a, const struct audit_head *head, struct error *err)
{
	struct audit_note first = {.event = head->known ? AUDIT_REPLACED : AUDIT_CREATED};
	struct buf der, text;
	int rc;

	if (head->known) {
		a->next = head->seq + 1;
		memcpy(a->prev, head->hash, AUDIT_HASH_LEN);
	}
	buf_init(&der, 1024);
	buf_init(&text, 2048);
	rc = key_spki_der(a->key, &der, err);
	if (!rc) {
		base64_encode(der.data, der.len, &text);
		first.detail = buf_cstr(&text);
		rc = write_line(a, &first, sealed_store_generation(a->store), true, err);
	}
	buf_free(&der);
	buf_free(&text);
	return rc;
}

static int go_on(struct audit *a, const struct audit_head *head, bool fresh, struct error *err)
{
	bool met;

	if (audit_scan(a, head, &met, err))
		return -1;
	if (a->size == 0) {
		if (head->known && !fresh)
			return error_set(err, ERR_NOT_FOUND,
				AUDIT_FILE " is gone or empty, and CAS remembers line %" PRIu64
					   ": put it back, or start with --new-audit-log, which the "
					   "new log will say",
				head->seq);
		return begin(a, head, err);
	}
	if (a->shared && head->known && head->seq >= a->next)
		return catch_up(a, err);
	if (head->known && !met)
		return error_set(err, ERR_CRYPTO,
			AUDIT_FILE " ends with line %" PRIu64 ", CAS remembers line %" PRIu64
				   ": it was cut, or put back",
			a->next - 1, head->seq);
	/* A crash came between the lines and their changes. */
	for (size_t i = 0; i < a->change_count; i++)
		if (not_done(a, a->changes[i], err))
			return -1;
	return 0;
}

static void free_audit(struct audit *a)
{
	if (a->dir_fd >= 0)
		close(a->dir_fd);
	buf_free(&a->lines);
	free(a->changes);
	free(a);
}

static int open_head(struct audit *a, struct audit_head *ret, struct error *err)
{
	struct buf lines;
	int rc;

	buf_init(&lines, BATCH_LINES_MAX);
	rc = read_head(a->store, a->record, ret, a->shared ? &lines : NULL, err);
	buf_free(&lines);
	return rc;
}

int audit_open(int dir_fd, const struct identity *id, struct sealed_store *ss, const char *replica,
	bool fresh, struct audit **ret, struct error *err)
{
	struct audit *a = calloc(1, sizeof(*a));
	struct audit_head head;
	int rc;

	if (!a)
		return error_set(err, ERR_NOMEM, "out of memory");
	a->fd = -1;
	a->key = id->key;
	a->store = ss;
	a->shared = sealed_store_shared(ss);
	buf_init(&a->lines, BATCH_LINES_MAX);
	snprintf(a->record, sizeof(a->record), replica ? HEAD "-%.64s" : HEAD, replica);
	a->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
	a->fd = a->dir_fd < 0 ? -1
			      : openat(dir_fd, AUDIT_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (a->fd < 0)
		rc = error_set_errno(err, errno, AUDIT_FILE);
	else
		rc = open_head(a, &head, err);
	if (!rc)
		rc = go_on(a, &head, fresh, err);
	if (!rc)
		rc = write_line(a, &(struct audit_note){.event = "cas-started", .detail = OPENSCONE_VERSION},
			sealed_store_generation(ss), true, err);
	if (!rc) {
		*ret = a;
		return 0;
	}
	if (a->fd >= 0)
		close(a->fd);
	free_audit(a);
	return -1;
}

void audit_close(struct audit *a)
{
	if (!a)
		return;
	if (fdatasync(a->fd))
		log_error(AUDIT_FILE ": cannot be flushed: %m");
	close(a->fd);
	free_audit(a);
}

int64_t audit_file(const struct audit *a, int *ret_fd)
{
	*ret_fd = a->fd;
	return a->size;
}
