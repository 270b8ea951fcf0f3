/*
 * counter: the monotonic counter of a TEE that a database is bound to, so that the database put back to an earlier copy is refused.
 *
 * The head of the database (sealed_head.h) carries the value h that the counter has once this state counts. A change is: write the database with
 * h = value + 1, then increment, then acknowledge. So at any moment h is the counter's value, or one more (killed in between: the change was not
 * acknowledged; the counter is brought up). Less is an earlier copy.
 *
 * A number must never stand for two states of which one was acknowledged. Whoever kills CAS between write and increment has a second database with the
 * number of a change that a later CAS may make. Therefore a CAS uses up one number when it opens the database (it writes the same content under the next
 * number and increments), and again after a write or an increment that failed: numbers under which it makes changes have been nobody's before, and an increment that does
 * not give the expected number (another CAS on a copy of the database) ends the acknowledging.
 */
#ifndef SCONE_CAS_COUNTER_H
#define SCONE_CAS_COUNTER_H

#include <stdint.h>
#include "core/error.h"
#include "tee/tee.h"

#define COUNTER_LABEL_MAX 64

struct counter {
	struct tee *tee; /* borrowed; NULL: this TEE has none */
	char label[COUNTER_LABEL_MAX];
};

/* t's counter of that label, which is of one database alone. */
void counter_init(struct counter *c, struct tee *t, const char *label);
bool counter_present(const struct counter *c);

/* Is head, the value in the database, what a database that was not put back has? Brings the counter up by one where CAS was killed before it could. *ret: the
 * counter's value. head 0: a database that is bound to no counter yet; the counter must not exist, and is made. ERR_CRYPTO with both values. */
MUST_USE int counter_open(const struct counter *c, uint64_t head, uint64_t *ret, struct error *err);
/* The database with this value is written: let the counter have it. ERR_IO when the TEE fails: whether it counted is then not known, and nothing may be
 * acknowledged before counter_open and a use of one more number; ERR_CRYPTO when somebody else counts. */
MUST_USE int counter_reach(const struct counter *c, uint64_t head, struct error *err);

#endif
