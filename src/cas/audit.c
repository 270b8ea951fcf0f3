#include "cas/audit.h"

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
#define READ_STEP 65536
#define PREV_KEY "\"prev\":\""

struct audit {
	int fd;
	EVP_PKEY *key; /* borrowed */
	struct sealed_store *store;
	uint64_t next; /* number of the next line */
	uint8_t prev[AUDIT_HASH_LEN];
	int64_t size; /* of the file: whole lines */
	uint64_t pending; /* generation of the change whose line was written last */
	uint8_t head[AUDIT_HEAD_LEN];
};

/* What the store remembers. */
struct head {
	bool known;
	uint64_t seq;
	uint8_t hash[AUDIT_HASH_LEN];
};

static int read_head(struct sealed_store *ss, struct head *ret, struct error *err)
{
	const uint8_t *hash;
	uint8_t format;
	struct buf b;
	struct rd r;
	int rc = 0;

	memset(ret, 0, sizeof(*ret));
	if (!sealed_store_has(ss, TABLE_AUDIT, HEAD))
		return 0;
	buf_init_secret(&b, SEALED_CONTENT_MAX);
	if (sealed_store_get(ss, TABLE_AUDIT, HEAD, &b, err)) {
		buf_free(&b);
		return -1;
	}
	rd_init(&r, b.data, b.len);
	format = rd_u8(&r);
	ret->seq = rd_u64be(&r);
	hash = rd_bytes(&r, AUDIT_HASH_LEN);
	if (format != HEAD_FORMAT || !rd_done(&r))
		rc = error_set(err, ERR_INTERNAL, "the stored end of the audit log has format %u, wanted %d",
			format, HEAD_FORMAT);
	else
		memcpy(ret->hash, hash, AUDIT_HASH_LEN);
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
		.table = TABLE_AUDIT, .name = HEAD, .content = a->head, .len = AUDIT_HEAD_LEN};
}

/* --- writing --- */

/* The whole line or nothing of it. */
static int append(struct audit *a, const struct buf *line, struct error *err)
{
	ssize_t n = pwrite(a->fd, line->data, line->len, a->size);

	if (n == (ssize_t)line->len) {
		a->size += n;
		return 0;
	}
	error_set_errno(err, n < 0 ? errno : ENOSPC,
		AUDIT_FILE ": line %" PRIu64 " cannot be written, so nothing is changed", a->next);
	if (ftruncate(a->fd, a->size))
		log_error(AUDIT_FILE ": an unfinished line is left at byte %" PRId64 ": %m", a->size);
	return -1;
}

static int write_line(
	struct audit *a, const struct audit_note *n, uint64_t generation, bool flush, struct error *err)
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
		rc = append(a, &line, err);
	buf_free(&line);
	if (rc)
		return -1;
	memcpy(a->prev, hash, AUDIT_HASH_LEN);
	a->next++;
	/* It is in the log and may be on the disk: it stays, and what follows says that it was not done. */
	if (flush && fdatasync(a->fd)) {
		error_set_errno(err, errno, AUDIT_FILE ": cannot be flushed, so nothing is changed");
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
	a->pending = sealed_store_generation(a->store) + 1;
	if (write_line(a, n, a->pending, true, err))
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

/* --- the log of an earlier start --- */

/* Line by line: links only. Who wants the signatures checked has `scone audit verify`. */
struct scan {
	struct audit *a;
	const struct head *head;
	bool met; /* the line that the store remembers */
	uint64_t last_generation;
};

/* The number behind "key": in a line that this program wrote. */
static uint64_t number_in(const char *line, size_t n, const char *key)
{
	const char *at = memmem(line, n, key, strlen(key));

	return at ? strtoull(at + strlen(key), NULL, 10) : UINT64_MAX;
}

static int scan_line(struct scan *s, const char *line, size_t n, struct error *err)
{
	const char *at = memmem(line, n, PREV_KEY, strlen(PREV_KEY));
	uint8_t prev[AUDIT_HASH_LEN];
	struct audit *a = s->a;
	uint64_t seq = number_in(line, n, "{\"seq\":");

	if (!at || (size_t)(line + n - at) < strlen(PREV_KEY) + 2 * AUDIT_HASH_LEN ||
		hex_decode(at + strlen(PREV_KEY), 2 * AUDIT_HASH_LEN, prev, AUDIT_HASH_LEN))
		return error_set(
			err, ERR_CRYPTO, AUDIT_FILE ": byte %" PRId64 ": no line of an audit log", a->size);
	if (a->size > 0 && (seq != a->next || memcmp(prev, a->prev, AUDIT_HASH_LEN)))
		return error_set(err, ERR_CRYPTO,
			AUDIT_FILE ": line with number %" PRIu64
				   " does not follow the one before it, whose number is %" PRIu64,
			seq, a->next - 1);
	sha256(line, n, a->prev);
	a->next = seq + 1;
	a->size += (int64_t)n + 1;
	s->last_generation = number_in(line, n, "\"generation\":");
	if (seq != s->head->seq || !s->head->known)
		return 0;
	if (memcmp(a->prev, s->head->hash, AUDIT_HASH_LEN))
		return error_set(
			err, ERR_CRYPTO, AUDIT_FILE ": line %" PRIu64 " is not the one that CAS wrote", seq);
	s->met = true;
	return 0;
}

static int scan_file(struct scan *s, struct error *err)
{
	char *at = malloc(READ_STEP + AUDIT_LINE_MAX);
	size_t held = 0;
	int64_t off = 0;
	ssize_t n;
	int rc = at ? 0 : error_set(err, ERR_NOMEM, "out of memory");

	while (!rc && (n = pread(s->a->fd, at + held, READ_STEP, off)) > 0) {
		char *line = at, *end;

		held += (size_t)n;
		off += n;
		while (!rc && line && (end = memchr(line, '\n', held))) {
			rc = scan_line(s, line, (size_t)(end - line), err);
			held -= (size_t)(end + 1 - line);
			line = end + 1;
		}
		memmove(at, line, held);
		if (!rc && held >= AUDIT_LINE_MAX)
			rc = error_set(err, ERR_CRYPTO,
				AUDIT_FILE ": byte %" PRId64 ": a line of over %d bytes", s->a->size,
				AUDIT_LINE_MAX);
	}
	if (!rc && held > 0) {
		log_warn(AUDIT_FILE ": %zu bytes of an unfinished line are cut off", held);
		if (ftruncate(s->a->fd, s->a->size))
			rc = error_set_errno(err, errno, AUDIT_FILE ": cannot be cut");
	}
	free(at);
	return rc;
}

static int begin(struct audit *a, const struct head *head, struct error *err)
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

static int go_on(struct audit *a, const struct head *head, bool fresh, struct error *err)
{
	struct scan s = {.a = a, .head = head};
	uint64_t generation = sealed_store_generation(a->store);

	if (scan_file(&s, err))
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
	if (head->known && !s.met)
		return error_set(err, ERR_CRYPTO,
			AUDIT_FILE " ends with line %" PRIu64 ", CAS remembers line %" PRIu64
				   ": it was cut, or put back",
			a->next - 1, head->seq);
	/* A crash came between the line and its change. */
	if (s.last_generation > generation)
		return not_done(a, a->next - 1, err);
	return 0;
}

int audit_open(int dir_fd, const struct identity *id, struct sealed_store *ss, bool fresh, struct audit **ret,
	struct error *err)
{
	struct audit *a = calloc(1, sizeof(*a));
	struct head head;
	int rc;

	if (!a)
		return error_set(err, ERR_NOMEM, "out of memory");
	a->key = id->key;
	a->store = ss;
	a->fd = openat(dir_fd, AUDIT_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (a->fd < 0)
		rc = error_set_errno(err, errno, AUDIT_FILE);
	else
		rc = read_head(ss, &head, err);
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
	free(a);
	return -1;
}

void audit_close(struct audit *a)
{
	if (!a)
		return;
	if (fdatasync(a->fd))
		log_error(AUDIT_FILE ": cannot be flushed: %m");
	close(a->fd);
	free(a);
}
