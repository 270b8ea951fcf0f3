/* The log of an earlier start: what its lines say against each other and against the store. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cas/audit_impl.h"
#include "core/encode.h"
#include "core/log.h"
#include "crypto/hash.h"

#define READ_STEP 65536
#define PREV_KEY "\"prev\":\""
#define NOT_DONE_KEY "\"event\":\"not-done\""

uint64_t audit_number_in(const char *line, size_t n, const char *key)
{
	const char *at = memmem(line, n, key, strlen(key));

	return at ? strtoull(at + strlen(key), NULL, 10) : UINT64_MAX;
}

int audit_note_change(struct audit *a, struct error *err)
{
	size_t cap = a->change_cap ? a->change_cap * 2 : 32;
	uint64_t *list;

	if (a->change_count == a->change_cap) {
		list = reallocarray(a->changes, cap, sizeof(*list));
		if (!list)
			return error_set(err, ERR_NOMEM, "out of memory for a batch of %zu changes", cap);
		a->changes = list;
		a->change_cap = cap;
	}
	a->changes[a->change_count++] = a->next;
	return 0;
}

/* Line by line: links only. Who wants the signatures checked has `scone audit verify`. */
struct scan {
	struct audit *a;
	const struct audit_head *head;
	bool met; /* the line that the store remembers */
	uint64_t generation; /* of the store */
};

/* Lines of a later generation than the store's: their changes were not done. Which a later line says already is not said again. */
static int scan_generation(struct scan *s, const char *line, size_t n, uint64_t seq, struct error *err)
{
	struct audit *a = s->a;
	uint64_t generation = audit_number_in(line, n, "\"generation\":"), named;

	if (!memmem(line, n, NOT_DONE_KEY, strlen(NOT_DONE_KEY))) {
		if (generation == UINT64_MAX || generation <= s->generation)
			return 0;
		if (audit_note_change(a, err))
			return -1;
		a->changes[a->change_count - 1] = seq;
		return 0;
	}
	named = audit_number_in(line, n, "\"detail\":\"");
	for (size_t i = 0; i < a->change_count; i++)
		if (a->changes[i] == named)
			a->changes[i--] = a->changes[--a->change_count];
	return 0;
}

/* Lines of a shared store are appended after their batch is in the store, so a later generation than the store's is one that it has lost. */
static int check_generation(const struct scan *s, const char *line, size_t n, uint64_t seq, struct error *err)
{
	uint64_t generation = audit_number_in(line, n, "\"generation\":");

	if (generation == UINT64_MAX || generation <= s->generation)
		return 0;
	return error_set(err, ERR_CRYPTO,
		AUDIT_FILE
		": line %" PRIu64 " is of generation %" PRIu64 ", the store is at generation %" PRIu64
		": the store was put back to an older state. If that is meant, move the log away and "
		"start with --new-audit-log",
		seq, generation, s->generation);
}

static int scan_line(struct scan *s, const char *line, size_t n, struct error *err)
{
	const char *at = memmem(line, n, PREV_KEY, strlen(PREV_KEY));
	uint8_t prev[AUDIT_HASH_LEN];
	struct audit *a = s->a;
	uint64_t seq = audit_number_in(line, n, "{\"seq\":");

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
	if (a->shared ? check_generation(s, line, n, seq, err) : scan_generation(s, line, n, seq, err))
		return -1;
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

int audit_scan(struct audit *a, const struct audit_head *head, bool *ret_met, struct error *err)
{
	struct scan s = {.a = a, .head = head, .generation = sealed_store_generation(a->store)};

	if (scan_file(&s, err))
		return -1;
	*ret_met = s.met;
	return 0;
}
