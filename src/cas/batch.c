#include "cas/batch.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "cas/api.h"
#include "cas/remotes.h"
#include "core/log.h"
#include "crypto/hash.h"

/* Tries to be first, before a client is told to come back. */
#define TRIES 24
/* A random pause between them, growing up to this. */
#define PAUSE_MAX_US 40000

static int begin(struct cas *c, struct error *err)
{
	if (sealed_store_begin(c->store, err)) {
		metric_add(c->metrics, METRIC_STORE_FAILURES, 1);
		/* Another store might answer later; a file that fails is for the operator. */
		if (err->code == ERR_IO && sealed_store_shared(c->store))
			err->code = ERR_UNAVAILABLE;
		return -1;
	}
	return 0;
}

/* Fill the replies; a job that has to wait for other CAS is put aside, and is NULL then. Stops when the store should commit. Returns how many are filled. */
static size_t answer(struct cas *c, struct http_job **jobs, size_t n)
{
	size_t i = 0;

	while (i < n && (i == 0 || !sealed_store_full(c->store))) {
		struct http_reply *r = jobs[i] ? &jobs[i]->r : NULL;

		if (!r) {
			i++;
			continue;
		}
		r->status = 500;
		r->later = NULL;
		r->allow = r->content_type = NULL;
		buf_reset(&r->body);
		api_handle(c, &jobs[i]->q, r);
		if (r->later) {
			remotes_park(c->remotes, r->later, jobs[i]);
			jobs[i] = NULL;
		}
		i++;
	}
	return i;
}

static int commit_staged(struct cas *c, struct error *err)
{
	int rc;

	if (audit_prepare(c->audit, err)) {
		sealed_store_rollback(c->store);
		return -1;
	}
	rc = sealed_store_commit(c->store, err);
	audit_settle(c->audit, rc ? err : NULL);
	metric_add(c->metrics, METRIC_BATCHES, 1);
	if (rc && err->code == ERR_CONFLICT)
		metric_add(c->metrics, METRIC_BATCH_CONFLICTS, 1);
	else if (rc)
		metric_add(c->metrics, METRIC_STORE_FAILURES, 1);
	if (rc && err->code == ERR_IO && sealed_store_shared(c->store))
		err->code = ERR_UNAVAILABLE;
	return rc;
}

static int commit(struct cas *c, struct error *err)
{
	int rc;

	if (sealed_store_overtaken(c->store)) {
		audit_drop(c->audit);
		sealed_store_rollback(c->store);
		metric_add(c->metrics, METRIC_BATCH_CONFLICTS, 1);
		return error_set(err, ERR_CONFLICT, "another CAS changed the store while it was read");
	}
	if (sealed_store_staged(c->store))
		return commit_staged(c, err);
	rc = audit_end(c->audit, err);
	sealed_store_rollback(c->store);
	return rc;
}

static void pause_before(unsigned try)
{
	unsigned most = 1000u << (try < 6 ? try : 6);
	uint32_t die = 0;

	if (random_bytes(&die, sizeof(die), NULL))
		die = try;
	usleep(1 + die % (most < PAUSE_MAX_US ? most : PAUSE_MAX_US));
}

/* Once more, for what only reads; what would change something is told why it cannot. */
static void answer_without_changes(struct cas *c, struct http_job **jobs, size_t n, const struct error *why)
{
	struct error err = {0};

	sealed_store_refuse(c->store, why);
	if (begin(c, &err))
		c->unavailable = &err;
	for (size_t done = 0; done < n;)
		done += answer(c, jobs + done, n - done);
	c->unavailable = NULL;
	sealed_store_rollback(c->store);
	sealed_store_refuse(c->store, NULL);
}

/* Some of n jobs from the first; returns how many. */
static size_t answer_some(struct cas *c, struct http_job **jobs, size_t n)
{
	struct error err = {0};

	nonce_mark(c->nonces);
	for (unsigned try = 0; try < TRIES; try++) {
		err = (struct error){0};
		if (try)
			pause_before(try);
		if (begin(c, &err))
			break;
		if (audit_begin(c->audit, &err)) {
			sealed_store_rollback(c->store);
			break;
		}
		n = answer(c, jobs, n);
		if (!commit(c, &err))
			return n;
		nonce_untake(c->nonces);
		if (err.code != ERR_CONFLICT)
			break;
		log_debug("batch of %zu: %s", n, err.text);
	}
	if (err.code == ERR_CONFLICT)
		error_set(&err, ERR_UNAVAILABLE,
			"other CAS were first %d times: nothing was changed, try again later", TRIES);
	log_error("%s: %s", error_code_name(err.code), err.text);
	answer_without_changes(c, jobs, n, &err);
	return n;
}

void batch_run(void *arg, struct http_job **jobs, size_t n)
{
	struct cas *c = arg;

	while (n > 0) {
		size_t done = answer_some(c, jobs, n);

		jobs += done;
		n -= done;
	}
	metric_set(c->metrics, METRIC_GENERATION, sealed_store_generation(c->store));
	metric_set(c->metrics, METRIC_AUDIT_LINES, audit_next(c->audit));
}
