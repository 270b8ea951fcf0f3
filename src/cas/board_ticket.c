#include "cas/board_ticket.h"

#include <string.h>
#include "cas/sessions.h"
#include "core/encode.h"
#include "core/secret.h"
#include "crypto/hash.h"

#define VERSION 1
#define TABLE_BOARD "board"
#define KEY_NAME "ticket-key"
#define AHEAD_SECONDS 60 /* of another CAS's clock */

enum board_strength board_strength_of(enum attest_mode mode, const struct verdict *v)
{
	if (mode == MODE_NONE || v->tee == TEE_NONE)
		return STRENGTH_NONE;
	return v->simulated || v->debug || v->tee == TEE_SIM ? STRENGTH_SIMULATION : STRENGTH_HARDWARE;
}

enum board_strength board_strength_wanted(enum attest_mode mode)
{
	switch (mode) {
	case MODE_NONE:
		return STRENGTH_NONE;
	case MODE_SIMULATION:
		return STRENGTH_SIMULATION;
	default:
		return STRENGTH_HARDWARE;
	}
}

const char *board_strength_name(enum board_strength s)
{
	static const char *const names[] = {"none", "simulation", "hardware"};

	return names[s];
}

static int load_key(struct sealed_store *ss, uint8_t ret[32], struct error *err)
{
	struct buf b;
	int rc;

	buf_init_secret(&b, 32);
	rc = sealed_store_get(ss, TABLE_BOARD, KEY_NAME, &b, err);
	if (!rc && b.len != 32)
		rc = error_set(
			err, ERR_INTERNAL, "the stored key of tickets has %zu bytes, wanted 32", b.len);
	if (!rc)
		memcpy(ret, b.data, 32);
	buf_free(&b);
	return rc;
}

static int make_key(struct sealed_store *ss, struct audit *audit, uint8_t ret[32], struct error *err)
{
	struct sealed_change changes[2] = {
		{.table = TABLE_BOARD, .name = KEY_NAME, .content = ret, .len = 32}};

	if (random_bytes(ret, 32, err))
		return -1;
	return logged_apply(ss, audit, &(struct audit_note){.event = "ticket-key-made"}, changes, 1, err);
}

int board_ticket_make(struct sealed_store *ss, struct audit *audit, const struct board_ticket *t,
	struct buf *out, struct error *err)
{
	uint8_t key[32], mac[SHA256_LEN];
	struct buf b;
	int rc;

	if (sealed_store_has(ss, TABLE_BOARD, KEY_NAME))
		rc = load_key(ss, key, err);
	else
		rc = make_key(ss, audit, key, err);
	if (rc)
		return -1;
	buf_init_secret(&b, BOARD_TICKET_TEXT_MAX);
	buf_put_u8(&b, VERSION);
	buf_put_u8(&b, (uint8_t)t->strength);
	buf_put_u64be(&b, t->time);
	buf_put(&b, t->hash, sizeof(t->hash));
	buf_put(&b, t->measurement, sizeof(t->measurement));
	buf_put_block(&b, t->session, strlen(t->session));
	buf_put_block(&b, t->service, strlen(t->service));
	hmac_sha256(key, sizeof(key), b.data, b.len, mac);
	buf_put(&b, mac, sizeof(mac));
	base64url_encode(b.data, b.len, out);
	rc = b.failed || out->failed ? error_set(err, ERR_NOMEM, "no memory for a ticket") : 0;
	secret_wipe(key, sizeof(key));
	secret_wipe(mac, sizeof(mac));
	buf_free(&b);
	return rc;
}

/* RFC 4648 section 5 without padding, to section 4. */
static int decode(const char *text, struct buf *out)
{
	char plain[BOARD_TICKET_TEXT_MAX + 4];
	size_t n = strlen(text);
	int rc;

	if (n >= BOARD_TICKET_TEXT_MAX || strpbrk(text, "+/="))
		return -1;
	for (size_t i = 0; i < n; i++)
		plain[i] = (char)(text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
	while (n % 4)
		plain[n++] = '=';
	rc = base64_decode(plain, n, out);
	secret_wipe(plain, sizeof(plain));
	return rc;
}

static bool get_text(struct rd *r, char *ret, size_t max)
{
	size_t n = 0;
	const uint8_t *p = rd_block(r, max, &n);

	if (!p)
		return false;
	memcpy(ret, p, n);
	ret[n] = '\0';
	return true;
}

static bool parse(const struct buf *b, struct board_ticket *ret)
{
	const uint8_t *hash, *measurement;
	struct rd r;

	rd_init(&r, b->data, b->len - SHA256_LEN);
	if (rd_u8(&r) != VERSION)
		return false;
	ret->strength = rd_u8(&r);
	ret->time = rd_u64be(&r);
	hash = rd_bytes(&r, sizeof(ret->hash));
	measurement = rd_bytes(&r, sizeof(ret->measurement));
	if (!hash || !measurement || ret->strength > STRENGTH_HARDWARE)
		return false;
	memcpy(ret->hash, hash, sizeof(ret->hash));
	memcpy(ret->measurement, measurement, sizeof(ret->measurement));
	return get_text(&r, ret->session, NAME_TOTAL_MAX) && get_text(&r, ret->service, NAME_SEGMENT_MAX) &&
	       rd_done(&r);
}

static bool genuine(const struct buf *b, const uint8_t key[32])
{
	uint8_t mac[SHA256_LEN];

	if (b->len <= SHA256_LEN)
		return false;
	hmac_sha256(key, 32, b->data, b->len - SHA256_LEN, mac);
	return secret_equal(mac, b->data + b->len - SHA256_LEN, SHA256_LEN);
}

int board_ticket_read(
	struct sealed_store *ss, const char *text, uint64_t now, struct board_ticket *ret, struct error *err)
{
	struct board_ticket t;
	uint8_t key[32];
	struct buf b;
	int rc = 0;

	buf_init_secret(&b, BOARD_TICKET_TEXT_MAX);
	if (!sealed_store_has(ss, TABLE_BOARD, KEY_NAME) || decode(text, &b))
		rc = error_set(err, ERR_ATTEST, "the ticket is none of this CAS");
	else if (load_key(ss, key, err))
		rc = -1;
	else if (!genuine(&b, key) || !parse(&b, &t))
		rc = error_set(err, ERR_ATTEST, "the ticket is none of this CAS");
	else if (t.time > now + AHEAD_SECONDS || now > t.time + BOARD_TICKET_SECONDS)
		rc = error_set(err, ERR_ATTEST,
			"the ticket of %s/%s is from %lld seconds ago, at most %d count: the service must "
			"attest anew",
			t.session, t.service, (long long)now - (long long)t.time, BOARD_TICKET_SECONDS);
	else
		*ret = t;
	secret_wipe(key, sizeof(key));
	buf_free(&b);
	return rc;
}
