#include "evidence/sim.h"

#include <string.h>
#include "core/encode.h"
#include "core/secret.h"
#include "crypto/key.h"
#include "evidence/type.h"
#include "measure/measure.h"

#define MAX_AHEAD 60 /* seconds that a platform's clock may be ahead of the verifier's */
#define SIGNED_LEN offsetof(struct sim_evidence, signature)
#define KNOWN_FLAGS SIM_FLAG_DEBUG

static void put32(uint8_t p[4], uint32_t v)
{
	for (int i = 3; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

static uint32_t get32(const uint8_t p[4])
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put64(uint8_t p[8], uint64_t v)
{
	put32(p, (uint32_t)(v >> 32));
	put32(p + 4, (uint32_t)v);
}

static uint64_t get64(const uint8_t p[8])
{
	return (uint64_t)get32(p) << 32 | get32(p + 4);
}

int sim_evidence_make(EVP_PKEY *platform, const uint8_t runtime_digest[32], const uint8_t root[32],
	const uint8_t report_data[REPORT_DATA_LEN], uint64_t now, uint32_t flags, struct sim_evidence *ret,
	struct error *err)
{
	struct sim_evidence e;
	struct buf signature;
	if (flags & ~KNOWN_FLAGS)
		return error_set(
			err, ERR_INPUT, "sim evidence: flags are 0x%x, known are 0x%x", flags, KNOWN_FLAGS);
	memcpy(e.magic, SIM_EVIDENCE_MAGIC, sizeof(e.magic));
	put32(e.version, SIM_EVIDENCE_VERSION);
	put32(e.flags, flags);
	memcpy(e.runtime_digest, runtime_digest, 32);
	memcpy(e.manifest_root, root, 32);
	measurement(runtime_digest, root, e.measurement);
	memcpy(e.report_data, report_data, REPORT_DATA_LEN);
	put64(e.issued_at, now);
	if (key_ed25519_public_raw(platform, e.platform_key, err) < 0)
		return error_wrap(err, "sim evidence");
	buf_init(&signature, sizeof(e.signature));
	int rc = key_sign(platform, &e, SIGNED_LEN, &signature, err);
	if (rc == 0 && signature.len != sizeof(e.signature))
		rc = error_set(err, ERR_CRYPTO, "signature has %zu bytes, wanted %zu", signature.len,
			sizeof(e.signature));
	if (rc == 0) {
		memcpy(e.signature, signature.data, sizeof(e.signature));
		*ret = e;
	}
	buf_free(&signature);
	return rc < 0 ? error_wrap(err, "sim evidence") : 0;
}

static int check_form(const struct sim_evidence *e, struct error *err)
{
	if (memcmp(e->magic, SIM_EVIDENCE_MAGIC, sizeof(e->magic)) != 0)
		return evidence_refuse_bytes(err, CHECK_FORMAT, "sim evidence: magic", e->magic,
			SIM_EVIDENCE_MAGIC, sizeof(e->magic));
	if (get32(e->version) != SIM_EVIDENCE_VERSION)
		return evidence_refuse(err, CHECK_VERSION, "sim evidence: version is %u, wanted %d",
			get32(e->version), SIM_EVIDENCE_VERSION);
	if (get32(e->flags) & ~KNOWN_FLAGS)
		return evidence_refuse(err, CHECK_FORMAT, "sim evidence: flags are 0x%x, known are 0x%x",
			get32(e->flags), KNOWN_FLAGS);
	return 0;
}

/* Signature, then whether its key is trusted; *ret is the platform's key hash. */
static int check_platform(
	const struct sim_evidence *e, const struct verify_context *ctx, uint8_t ret[32], struct error *err)
{
	EVP_PKEY *k = NULL;
	char text[KEY_HASH_TEXT_MAX];
	if (key_ed25519_from_raw(e->platform_key, &k, NULL) < 0)
		return evidence_refuse(
			err, CHECK_FORMAT, "sim evidence: platform key is no Ed25519 public key");
	int bad = key_verify(k, e, SIGNED_LEN, e->signature, sizeof(e->signature), NULL);
	int rc = bad ? evidence_refuse(err, CHECK_SIGNATURE,
			       "sim evidence: signature is not that of the platform key it carries")
		     : key_hash(k, ret, err);
	EVP_PKEY_free(k);
	if (rc < 0 || ctx->sim_platform_count == 0)
		return rc;
	for (size_t i = 0; i < ctx->sim_platform_count; i++)
		if (secret_equal(ctx->sim_platforms[i], ret, 32))
			return 0;
	key_hash_text(ret, text);
	return evidence_refuse(err, CHECK_PLATFORM,
		"sim evidence: platform is %s, wanted one of the %zu trusted platforms", text,
		ctx->sim_platform_count);
}

static int check_time(uint64_t issued, uint64_t now, struct error *err)
{
	if (issued > now && issued - now > MAX_AHEAD)
		return evidence_refuse(err, CHECK_ISSUED_AT,
			"sim evidence: issued %llu s in the future, wanted at most %d",
			(unsigned long long)(issued - now), MAX_AHEAD);
	if (issued < now && now - issued > SIM_EVIDENCE_MAX_AGE)
		return evidence_refuse(err, CHECK_ISSUED_AT, "sim evidence: age is %llu s, wanted at most %d",
			(unsigned long long)(now - issued), SIM_EVIDENCE_MAX_AGE);
	return 0;
}

int sim_evidence_verify(
	const uint8_t *p, size_t n, const struct verify_context *ctx, struct verdict *ret, struct error *err)
{
	struct sim_evidence e;
	uint8_t platform[32], wanted[32];
	if (n != sizeof(e))
		return evidence_refuse(
			err, CHECK_FORMAT, "sim evidence: %zu bytes, wanted %zu", n, sizeof(e));
	memcpy(&e, p, sizeof(e));
	if (check_form(&e, err) < 0 || check_platform(&e, ctx, platform, err) < 0 ||
		check_time(get64(e.issued_at), ctx->now, err) < 0)
		return -1;
	measurement(e.runtime_digest, e.manifest_root, wanted);
	if (!secret_equal(e.measurement, wanted, sizeof(wanted)))
		return evidence_refuse_bytes(err, CHECK_MEASUREMENT, "sim evidence: measurement",
			e.measurement, wanted, sizeof(wanted));
	if (verify_report_data(ctx, "sim evidence", e.report_data, err) < 0)
		return -1;
	struct verdict v = {
		.tee = TEE_SIM,
		.debug = get32(e.flags) & SIM_FLAG_DEBUG,
		.simulated = true,
		.issued_at = get64(e.issued_at),
		.valid_until = get64(e.issued_at) + SIM_EVIDENCE_MAX_AGE,
	};
	memcpy(v.measurement, e.measurement, 32);
	memcpy(v.runtime_digest, e.runtime_digest, 32);
	memcpy(v.manifest_root, e.manifest_root, 32);
	memcpy(v.report_data, e.report_data, REPORT_DATA_LEN);
	memcpy(v.platform, platform, 32);
	*ret = v;
	return 0;
}

bool sim_is(const uint8_t *p, size_t n)
{
	return n >= sizeof(SIM_EVIDENCE_MAGIC) - 1 &&
	       memcmp(p, SIM_EVIDENCE_MAGIC, sizeof(SIM_EVIDENCE_MAGIC) - 1) == 0;
}

int sim_verify(
	const struct evidence *e, const struct verify_context *ctx, struct verdict *ret, struct error *err)
{
	return sim_evidence_verify(e->item[ITEM_STATEMENT].p, e->item[ITEM_STATEMENT].n, ctx, ret, err);
}

int sim_show(const struct evidence *e, json_t *into, struct error *err)
{
	const struct bytes *b = &e->item[ITEM_STATEMENT];
	struct sim_evidence s;

	if (b->n != sizeof(s))
		return evidence_refuse(
			err, CHECK_FORMAT, "sim evidence: %zu bytes, wanted %zu", b->n, sizeof(s));
	memcpy(&s, b->p, sizeof(s));
	if (check_form(&s, err) < 0)
		return -1;
	if (json_object_set_new(into, "version", json_integer(get32(s.version))) |
		json_object_set_new(into, "debug", json_boolean(get32(s.flags) & SIM_FLAG_DEBUG)) |
		json_object_set_new(into, "issued_at", json_integer((json_int_t)get64(s.issued_at))) |
		json_set_hex(into, "runtime_digest", s.runtime_digest, sizeof(s.runtime_digest)) |
		json_set_hex(into, "manifest_root", s.manifest_root, sizeof(s.manifest_root)) |
		json_set_hex(into, "measurement", s.measurement, sizeof(s.measurement)) |
		json_set_hex(into, "report_data", s.report_data, sizeof(s.report_data)) |
		json_set_hex(into, "platform_key", s.platform_key, sizeof(s.platform_key)))
		return error_set(err, ERR_NOMEM, "no memory");
	return 0;
}
