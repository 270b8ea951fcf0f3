#include "cas/sealed_impl.h"

#include <string.h>

/* The same records under another number. */
static int write_head(struct sealed_store *ss, uint64_t counter, struct error *err)
{
	struct store_guard guard = {.value = ss->head_sealed.data, .len = ss->head_sealed.len};
	struct store_change change = {0};
	struct sealed_head head = ss->committed;
	struct buf sealed, old;
	int rc;

	head.counter = counter;
	buf_init(&sealed, SEALED_HEAD_SEALED_LEN);
	memcpy(guard.key, ss->keys.head, STORE_KEY_LEN);
	memcpy(change.key, ss->keys.head, STORE_KEY_LEN);
	rc = sealed_head_write_form(ss, &head, &sealed, err);
	change.value = sealed.data;
	change.len = sealed.len;
	if (!rc)
		rc = ss->store->ops->apply(ss->store, &change, 1, &guard, err);
	if (!rc) {
		old = ss->head_sealed;
		ss->head_sealed = sealed;
		sealed = old;
		ss->committed = head;
		ss->head.counter = counter;
	}
	buf_free(&sealed);
	return rc;
}

int sealed_counter_settle(struct sealed_store *ss, struct error *err)
{
	if (!counter_present(&ss->counter))
		return 0;
	ss->unsettled = true;
	if (counter_reach(&ss->counter, ss->committed.counter, err))
		return -1;
	ss->unsettled = false;
	return 0;
}

int sealed_counter_resume(struct sealed_store *ss, struct error *err)
{
	uint64_t now;

	if (ss->unsettled) {
		if (counter_open(&ss->counter, ss->committed.counter, &now, err))
			return -1;
		ss->unsettled = false;
		ss->spoilt = true;
	}
	if (!ss->spoilt)
		return 0;
	if (write_head(ss, ss->committed.counter + 1, err) || sealed_counter_settle(ss, err))
		return -1;
	ss->spoilt = false;
	return 0;
}

int sealed_store_bind(struct sealed_store *ss, struct tee *t, struct error *err)
{
	uint64_t now;

	/* A shared store has writers on several machines, each with a counter of its own. */
	counter_init(&ss->counter, ss->store->ops->shared ? NULL : t, ss->counter_label);
	if (!counter_present(&ss->counter)) {
		if (ss->committed.counter)
			return error_set(err, ERR_CRYPTO,
				"the database is bound to value %llu of a counter, and TEE %s has no "
				"counters that could be compared with it",
				(unsigned long long)ss->committed.counter, t->ops->name);
		return 0;
	}
	if (counter_open(&ss->counter, ss->committed.counter, &now, err))
		return -1;
	if (!ss->committed.counter)
		return write_head(ss, now, err);
	ss->spoilt = true;
	return sealed_counter_resume(ss, err);
}

bool sealed_store_uncertain(const struct sealed_store *ss)
{
	return ss->unsettled;
}
