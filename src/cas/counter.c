#include "cas/counter.h"

#include <inttypes.h>
#include <stdio.h>

void counter_init(struct counter *c, struct tee *t, const char *label)
{
	c->tee = t && t->ops->counter_read && t->ops->counter_increment ? t : NULL;
	(void)snprintf(c->label, sizeof(c->label), "%s", label);
}

bool counter_present(const struct counter *c)
{
	return c->tee != NULL;
}

int counter_reach(const struct counter *c, uint64_t head, struct error *err)
{
	uint64_t now;

	if (c->tee->ops->counter_increment(c->tee, c->label, &now, err))
		return error_wrap(err, "the database is written, but the counter of the TEE did not count");
	if (now != head)
		return error_set(err, ERR_CRYPTO,
			"the counter of the TEE is at %" PRIu64 ", wanted %" PRIu64
			": another CAS counts, on a copy of this database",
			now, head);
	return 0;
}

static int make(const struct counter *c, uint64_t head, uint64_t *ret, struct error *err)
{
	if (head)
		return error_set(err, ERR_CRYPTO,
			"the database is bound to value %" PRIu64
			" of a counter that this TEE does not have: it was deleted, or the database comes "
			"from another machine",
			head);
	return c->tee->ops->counter_increment(c->tee, c->label, ret, err);
}

int counter_open(const struct counter *c, uint64_t head, uint64_t *ret, struct error *err)
{
	struct error why = {0};
	uint64_t now;

	if (c->tee->ops->counter_read(c->tee, c->label, &now, &why)) {
		if (why.code == ERR_NOT_FOUND)
			return make(c, head, ret, err);
		return error_set(err, why.code, "the counter of the TEE: %s", why.text);
	}
	if (head == 0 || head < now)
		return error_set(err, ERR_CRYPTO,
			"the database has counter value %" PRIu64 ", the counter of the TEE is at %" PRIu64
			": the database was put back to an earlier copy, or another CAS counts on a copy of "
			"it",
			head, now);
	if (head > now + 1)
		return error_set(err, ERR_CRYPTO,
			"the database has counter value %" PRIu64 ", the counter of the TEE is at %" PRIu64
			", wanted the same or one less: this is not the counter that the database was bound "
			"to",
			head, now);
	if (head == now + 1 && counter_reach(c, head, err))
		return -1;
	*ret = head;
	return 0;
}
