/*
 * The simulation platform: an Ed25519 platform key and a sealing key, in files that this host's root can read.
 */
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "core/secret.h"
#include "crypto/aead.h"
#include "crypto/key.h"
#include "evidence/sim.h"
#include "host/secret_arena.h"
#include "tee/keyfile.h"
#include "tee/tee.h"

#define PLATFORM_FILE "platform.key" /* PKCS#8 PEM */
#define SEALING_FILE "sealing.key" /* AEAD_KEY_LEN bytes */
#define SEAL_LABEL "openscone-sim-seal-v1"

/* In a secret_arena. */
struct sim {
	struct tee tee;
	EVP_PKEY *platform;
	uint8_t sealing[AEAD_KEY_LEN];
};

static struct sim *sim_of(struct tee *t)
{
	return (struct sim *)t;
}

static int sim_probe(struct error *err)
{
	return 0;
}

static int make_platform(struct buf *out, struct error *err)
{
	EVP_PKEY *k;
	if (key_generate(KEY_ED25519, &k, err) < 0)
		return -1;
	int rc = key_to_pem(k, out, err);
	EVP_PKEY_free(k);
	return rc;
}

static int make_sealing(struct buf *out, struct error *err)
{
	uint8_t key[AEAD_KEY_LEN];
	if (random_bytes(key, sizeof(key), err) < 0)
		return -1;
	buf_put(out, key, sizeof(key));
	secret_wipe(key, sizeof(key));
	return 0;
}

static int load_platform(struct sim *s, int dir, const char *dir_name, struct error *err)
{
	struct buf pem;
	uint8_t raw[32];
	buf_init_secret(&pem, KEYFILE_MAX);
	int rc = keyfile_load(dir, dir_name, PLATFORM_FILE, make_platform, &pem, err);
	if (rc == 0 && (key_from_pem((const char *)pem.data, pem.len, &s->platform, err) < 0 ||
			       key_ed25519_public_raw(s->platform, raw, err) < 0))
		rc = error_wrap(err, "%s/%s: wanted an Ed25519 private key in PEM", dir_name, PLATFORM_FILE);
	buf_free(&pem);
	return rc;
}

static int load_sealing(struct sim *s, int dir, const char *dir_name, struct error *err)
{
	struct buf key;
	buf_init_secret(&key, KEYFILE_MAX);
	int rc = keyfile_load(dir, dir_name, SEALING_FILE, make_sealing, &key, err);
	if (rc == 0 && key.len != sizeof(s->sealing))
		rc = error_set(err, ERR_INPUT, "%s/%s has %zu bytes, wanted %zu", dir_name, SEALING_FILE,
			key.len, sizeof(s->sealing));
	if (rc == 0)
		memcpy(s->sealing, key.data, sizeof(s->sealing));
	buf_free(&key);
	return rc;
}

static void sim_close(struct tee *t)
{
	struct sim *s = sim_of(t);
	if (!s)
		return;
	EVP_PKEY_free(s->platform);
	secret_arena_put(s, sizeof(*s), false);
}

static int sim_open(const char *state_dir, struct tee **ret, struct error *err)
{
	int dir = keyfile_dir(state_dir, err);
	if (dir < 0)
		return error_wrap(err, "tee sim");
	struct sim *s = secret_arena_get(sizeof(*s), false);
	int rc = s ? 0 : error_set(err, ERR_NOMEM, "no memory");
	if (rc == 0)
		s->tee.ops = &tee_sim_ops;
	if (rc == 0)
		rc = load_platform(s, dir, state_dir, err);
	if (rc == 0)
		rc = load_sealing(s, dir, state_dir, err);
	close(dir);
	if (rc < 0) {
		sim_close(s ? &s->tee : NULL);
		return error_wrap(err, "tee sim");
	}
	*ret = &s->tee;
	return 0;
}

static int sim_evidence(struct tee *t, const uint8_t runtime_digest[32], const uint8_t root[32],
	const uint8_t report_data[REPORT_DATA_LEN], struct buf *out, struct error *err)
{
	struct sim_evidence e;
	if (sim_evidence_make(sim_of(t)->platform, runtime_digest, root, report_data, (uint64_t)time(NULL), 0,
		    &e, err) < 0)
		return error_wrap(err, "tee sim");
	buf_put(out, &e, sizeof(e));
	return out->failed
		       ? error_set(err, ERR_LIMIT, "tee sim: no room for %zu bytes of evidence", sizeof(e))
		       : 0;
}

/* Additional data: SEAL_LABEL NUL label. The caller frees *ret->data by buf_free. */
static int seal_label(const char *label, struct buf *ret, struct error *err)
{
	buf_init(ret, 1024);
	buf_put(ret, SEAL_LABEL, sizeof(SEAL_LABEL));
	buf_puts(ret, label);
	if (!ret->failed)
		return 0;
	buf_free(ret);
	return error_set(err, ERR_LIMIT, "tee sim: label of %zu bytes is too long", strlen(label));
}

static int sim_seal(
	struct tee *t, const char *label, const void *p, size_t n, struct buf *out, struct error *err)
{
	struct buf aad;
	if (seal_label(label, &aad, err) < 0)
		return -1;
	int rc = aead_seal(sim_of(t)->sealing, aad.data, aad.len, p, n, out, err);
	buf_free(&aad);
	return rc < 0 ? error_wrap(err, "tee sim: seal \"%s\"", label) : 0;
}

static int sim_unseal(
	struct tee *t, const char *label, const void *p, size_t n, struct buf *out, struct error *err)
{
	struct buf aad;
	if (seal_label(label, &aad, err) < 0)
		return -1;
	int rc = aead_open(sim_of(t)->sealing, aad.data, aad.len, p, n, out, err);
	buf_free(&aad);
	return rc < 0 ? error_wrap(err, "tee sim: unseal \"%s\"", label) : 0;
}

static int sim_platform(struct tee *t, uint8_t ret[32], struct error *err)
{
	return key_hash(sim_of(t)->platform, ret, err);
}

const struct tee_ops tee_sim_ops = {
	.type = TEE_SIM,
	.name = "sim",
	.probe = sim_probe,
	.open = sim_open,
	.close = sim_close,
	.evidence = sim_evidence,
	.seal = sim_seal,
	.unseal = sim_unseal,
	.platform = sim_platform,
};
