#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "cas/nonce.h"
#include "core/secret.h"
#include "crypto/hash.h"

#define PLACE_LEN 4

struct entry {
	uint8_t nonce[ATTEST_NONCE_LEN];
	uint8_t key[32];
	uint64_t issued;
	bool valid;
};

struct nonce_table {
	struct entry entries[NONCE_COUNT];
	uint32_t next;
	uint32_t taken[NONCE_COUNT]; /* places, since the mark */
	size_t taken_count;
};

int nonce_table_new(struct nonce_table **ret, struct error *err)
{
	struct nonce_table *t = calloc(1, sizeof(*t));

	if (!t)
		return error_set(err, ERR_NOMEM, "out of memory for %d nonces", NONCE_COUNT);
	*ret = t;
	return 0;
}

void nonce_table_free(struct nonce_table *t)
{
	free(t);
}

int nonce_issue(struct nonce_table *t, const uint8_t key[32], uint64_t now, uint8_t ret[ATTEST_NONCE_LEN],
	struct error *err)
{
	uint32_t place = t->next;
	struct entry *e = &t->entries[place];
	struct entry fresh = {.issued = now, .valid = true};

	if (random_bytes(fresh.nonce + PLACE_LEN, ATTEST_NONCE_LEN - PLACE_LEN, err))
		return -1;
	for (int i = 0; i < PLACE_LEN; i++)
		fresh.nonce[i] = (uint8_t)(place >> (8 * (PLACE_LEN - 1 - i)));
	memcpy(fresh.key, key, sizeof(fresh.key));
	*e = fresh;
	t->next = (place + 1) % NONCE_COUNT;
	memcpy(ret, fresh.nonce, ATTEST_NONCE_LEN);
	return 0;
}

static uint32_t place_of(const uint8_t nonce[ATTEST_NONCE_LEN])
{
	uint32_t place = 0;

	for (int i = 0; i < PLACE_LEN; i++)
		place = place << 8 | nonce[i];
	return place;
}

int nonce_take(struct nonce_table *t, const uint8_t nonce[ATTEST_NONCE_LEN], const uint8_t key[32],
	uint64_t now, struct error *err)
{
	uint32_t place = place_of(nonce);
	struct entry *e;

	e = place < NONCE_COUNT ? &t->entries[place] : NULL;
	if (!e || !e->valid || !secret_equal(e->nonce, nonce, ATTEST_NONCE_LEN))
		return error_set(err, ERR_ATTEST,
			"nonce: seen one that was not issued here, or was used already; wanted a fresh one");
	if (!secret_equal(e->key, key, sizeof(e->key)))
		return error_set(err, ERR_ATTEST, "nonce: seen one that was issued to another client key");
	e->valid = false;
	if (t->taken_count < NONCE_COUNT)
		t->taken[t->taken_count++] = place;
	if (now - e->issued > NONCE_SECONDS)
		return error_set(err, ERR_ATTEST, "nonce: seen one of %llu seconds age, wanted at most %d",
			(unsigned long long)(now - e->issued), NONCE_SECONDS);
	return 0;
}

void nonce_give_back(struct nonce_table *t, const uint8_t nonce[ATTEST_NONCE_LEN])
{
	uint32_t place = place_of(nonce);

	if (place < NONCE_COUNT && secret_equal(t->entries[place].nonce, nonce, ATTEST_NONCE_LEN))
		t->entries[place].valid = true;
}

void nonce_mark(struct nonce_table *t)
{
	t->taken_count = 0;
}

void nonce_untake(struct nonce_table *t)
{
	while (t->taken_count > 0)
		t->entries[t->taken[--t->taken_count]].valid = true;
}
