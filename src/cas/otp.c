#include "cas/otp.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/secret.h"
#include "policy/name.h"

#define TABLE_OTP "otp"
#define RECORD_LEN 20
#define SHA1_LEN 20
#define DRIFT 1 /* steps */

/* RFC 4226, 5.3, over the step (RFC 6238, 4.2). */
void otp_value(const void *key, size_t n, uint64_t step, char ret[OTP_DIGITS + 1])
{
	uint8_t counter[8], mac[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	uint32_t v;

	for (int i = 0; i < 8; i++)
		counter[i] = (uint8_t)(step >> (56 - 8 * i));
	if (!HMAC(EVP_sha1(), key, (int)n, counter, sizeof(counter), mac, &len) || len != SHA1_LEN)
		abort(); /* the library has no SHA-1 */
	v = mac[SHA1_LEN - 1] & 15u;
	v = (uint32_t)(mac[v] & 0x7fu) << 24 | (uint32_t)mac[v + 1] << 16 | (uint32_t)mac[v + 2] << 8 |
	    mac[v + 3];
	snprintf(ret, OTP_DIGITS + 1, "%06" PRIu32, v % 1000000);
	secret_wipe(mac, sizeof(mac));
}

struct used {
	uint64_t last; /* step of the last password that was taken */
	uint64_t wrong_step;
	uint32_t wrong;
};

static int load(struct sealed_store *ss, const char *name, struct used *ret, struct error *err)
{
	struct error why = {0};
	struct buf b;
	struct rd r;
	int rc;

	*ret = (struct used){0};
	buf_init_secret(&b, SEALED_CONTENT_MAX);
	rc = sealed_store_get(ss, TABLE_OTP, name, &b, &why);
	if (!rc) {
		rd_init(&r, b.data, b.len);
		ret->last = rd_u64be(&r);
		ret->wrong_step = rd_u64be(&r);
		ret->wrong = rd_u32be(&r);
		if (!rd_done(&r))
			rc = error_set(&why, ERR_INTERNAL,
				"stored state of one-time passwords has %zu bytes, wanted %d", b.len,
				RECORD_LEN);
	} else if (why.code == ERR_NOT_FOUND) {
		rc = 0;
	}
	buf_free(&b);
	if (rc && err)
		*err = why;
	return rc;
}

static int store(struct sealed_store *ss, const char *name, const struct used *u, struct error *err)
{
	struct buf b;
	int rc;

	buf_init(&b, RECORD_LEN);
	buf_put_u64be(&b, u->last);
	buf_put_u64be(&b, u->wrong_step);
	buf_put_u32be(&b, u->wrong);
	rc = b.failed ? error_set(err, ERR_NOMEM, "out of memory")
		      : sealed_store_apply(ss,
				&(struct sealed_change){
					.table = TABLE_OTP, .name = name, .content = b.data, .len = b.len},
				1, err);
	buf_free(&b);
	return rc;
}

/* The step whose password it is; 0: of none. All are compared, in constant time. */
static uint64_t matching_step(const struct secret *key, const char *given, uint64_t now)
{
	uint64_t step = now / OTP_STEP, found = 0;
	char want[OTP_DIGITS + 1];

	for (uint64_t s = step > DRIFT ? step - DRIFT : 0; s <= step + DRIFT; s++) {
		otp_value(key->data, key->len, s, want);
		if (strlen(given) == OTP_DIGITS && secret_equal(want, given, OTP_DIGITS))
			found = s;
	}
	secret_wipe(want, sizeof(want));
	return found;
}

static int judge(struct sealed_store *ss, const char *name, const struct secret *key, const char *given,
	uint64_t now, struct error *err)
{
	uint64_t step = now / OTP_STEP, at;
	struct used u;

	if (load(ss, name, &u, err))
		return -1;
	if (u.wrong_step == step && u.wrong >= OTP_TRIES)
		return error_set(err, ERR_ACCESS,
			"one-time password: %d wrong ones in %d seconds: none is taken until they are over",
			OTP_TRIES, OTP_STEP);
	at = matching_step(key, given, now);
	if (at == 0) {
		u.wrong = u.wrong_step == step ? u.wrong + 1 : 1;
		u.wrong_step = step;
		if (store(ss, name, &u, err))
			return -1;
		return error_set(err, ERR_ACCESS,
			"one-time password: not the one of now, nor of the %d seconds before or after",
			OTP_STEP);
	}
	if (at <= u.last)
		return error_set(err, ERR_ACCESS,
			"one-time password: it, or a later one, was used already; each is good once: wait "
			"for the next");
	u.last = at;
	u.wrong = 0;
	return store(ss, name, &u, err);
}

int otp_check(struct sealed_store *ss, const struct stored_session *s, const struct service *svc,
	const char *given, uint64_t now, struct error *err)
{
	const struct secret *key = svc->otp.len ? &svc->otp : &s->doc->otp;
	char name[NAME_TOTAL_MAX + NAME_SEGMENT_MAX + 2];

	if (svc->otp_open)
		return error_set(err, ERR_ATTEST,
			"one-time password: the template of service \"%s\" for it does not resolve, so "
			"nobody attests",
			svc->name);
	if (!key->len)
		return given ? error_set(err, ERR_INPUT,
				       "config id has a one-time password, service \"%s/%s\" uses none",
				       s->doc->name, svc->name)
			     : 0;
	if (!given)
		return error_set(err, ERR_ACCESS,
			"one-time password: service \"%s/%s\" wants one: SESSION/SERVICE@PASSWORD",
			s->doc->name, svc->name);
	snprintf(name, sizeof(name), "%s%s%s", s->doc->name, svc->otp.len ? "/" : "",
		svc->otp.len ? svc->name : "");
	return judge(ss, name, key, given, now, err);
}
