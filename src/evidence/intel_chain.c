#include "evidence/intel_chain.h"

#include <string.h>
#include "core/secret.h"
#include "crypto/x509.h"
#include "evidence/collateral_store.h"
#include "evidence/intel_json.h"
#include "evidence/intel_pck.h"

#define ROOT_NAME "Intel SGX Root CA"
#define NAME_MAX_LEN 65

/* SHA-256 over the SubjectPublicKeyInfo of "Intel SGX Root CA" (P-256), which is in every PCK chain and at
 * https://certificates.trustedservices.intel.com/Intel_SGX_Provisioning_Certification_RootCA.pem */
const uint8_t intel_root_key_hash[1][32] = {
	{0xa0, 0xaf, 0x03, 0x12, 0x89, 0xf5, 0xd5, 0xd4, 0x13, 0x2f, 0x91, 0x86, 0x06, 0x8a, 0x7f, 0xc1, 0x36,
		0x28, 0x63, 0x3b, 0xa2, 0x35, 0x77, 0x74, 0x72, 0xe2, 0x9b, 0x6b, 0x6c, 0x67, 0xa4, 0x9e}};

const struct intel_chain_form intel_chain_pck = {
	.what = "PCK chain",
	.count = 3,
	.names = {{"Intel SGX PCK Certificate", NULL},
		{"Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA"}, {ROOT_NAME, NULL}},
};

const struct intel_chain_form intel_chain_tcb = {
	.what = "TCB signing chain",
	.count = 2,
	.names = {{"Intel SGX TCB Signing", NULL}, {ROOT_NAME, NULL}},
};

struct check {
	const struct x509_chain *chain;
	const struct intel_chain_form *form;
	const struct verify_context *ctx;
	const struct collateral *const *sources;
	uint64_t until;
	struct error *err;
};

/* Whether the pair is in a chain that was examined before: 1 and what was found. */
static bool known_link(const struct check *c, X509 *cert, X509 *issuer, enum x509_issue *ret)
{
	for (size_t s = 0; s < 2; s++) {
		for (size_t i = 0; c->sources[s] && i < c->sources[s]->chain_count; i++) {
			const struct known_chain *k = &c->sources[s]->chains[i];

			for (size_t n = 0; n < k->certs.count; n++) {
				size_t next = n + 1 < k->certs.count ? n + 1 : n;

				if (x509_equal(cert, k->certs.cert[n]) &&
					x509_equal(issuer, k->certs.cert[next])) {
					*ret = k->link[n];
					return true;
				}
			}
		}
	}
	return false;
}

static int check_link(const struct check *c, size_t i)
{
	X509 *cert = c->chain->cert[i];
	X509 *issuer = c->chain->cert[i + 1 < c->chain->count ? i + 1 : i];
	char name[NAME_MAX_LEN], above[NAME_MAX_LEN];
	enum x509_issue found;

	if (!known_link(c, cert, issuer, &found))
		found = x509_issued_by(cert, issuer);
	x509_common_name(cert, name, sizeof(name));
	x509_common_name(issuer, above, sizeof(above));
	switch (found) {
	case X509_ISSUED:
		return 0;
	case X509_OTHER_ISSUER:
		return evidence_refuse(c->err, CHECK_CHAIN_ORDER,
			"%s: certificate %zu (%s) is not issued by the name of the one after it (%s), wanted "
			"the "
			"signing "
			"certificate first, the root last",
			c->form->what, i + 1, name, above);
	case X509_NOT_A_CA:
		return evidence_refuse(c->err, CHECK_CHAIN_ROLE,
			"%s: %s may not issue certificates, but stands where it would have issued %s",
			c->form->what, above, name);
	default:
		return evidence_refuse(c->err, CHECK_CHAIN_SIGNATURE,
			"%s: the signature in the certificate %s is not by the key of %s", c->form->what,
			name, above);
	}
}

static int check_role(const struct check *c, size_t i)
{
	X509 *cert = c->chain->cert[i];
	const char *const *names = c->form->names[i];
	char name[NAME_MAX_LEN];

	x509_common_name(cert, name, sizeof(name));
	if (strcmp(name, names[0]) != 0 && (!names[1] || strcmp(name, names[1]) != 0))
		return evidence_refuse(c->err, CHECK_CHAIN_ROLE,
			"%s: certificate %zu is \"%s\", wanted \"%s\"%s%s%s", c->form->what, i + 1, name,
			names[0], names[1] ? " or \"" : "", names[1] ? names[1] : "", names[1] ? "\"" : "");
	if (i == 0 && x509_is_ca(cert))
		return evidence_refuse(c->err, CHECK_CHAIN_ROLE,
			"%s: %s may issue certificates, wanted one that only signs", c->form->what, name);
	if (!x509_key_on_curve(cert, "P-256") || X509_get_signature_nid(cert) != NID_ecdsa_with_SHA256)
		return evidence_refuse(c->err, CHECK_ALGORITHM,
			"%s: key or signature of %s is of another kind, wanted ECDSA with P-256 and SHA-256",
			c->form->what, name);
	return 0;
}

static int check_time(struct check *c, size_t i)
{
	char name[NAME_MAX_LEN], from_text[32], to_text[32], now_text[32];
	uint64_t from, to;

	x509_common_name(c->chain->cert[i], name, sizeof(name));
	if (x509_times(c->chain->cert[i], &from, &to) < 0)
		return evidence_refuse(
			c->err, CHECK_CHAIN_TIME, "%s: %s has malformed dates", c->form->what, name);
	if (c->ctx->now < from || c->ctx->now > to) {
		time_text(from, from_text);
		time_text(to, to_text);
		time_text(c->ctx->now, now_text);
		return evidence_refuse(c->err, CHECK_CHAIN_TIME,
			"%s: %s is valid from %s to %s, wanted a time in that, it is %s", c->form->what, name,
			from_text, to_text, now_text);
	}
	if (to < c->until)
		c->until = to;
	return 0;
}

/* Where a list of this issuer is to be had. */
static const char *crl_source(const char *issuer)
{
	if (strcmp(issuer, "Intel SGX PCK Platform CA") == 0)
		return "curl -i "
		       "'https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca=platform&"
		       "encoding=der'";
	if (strcmp(issuer, "Intel SGX PCK Processor CA") == 0)
		return "curl -i "
		       "'https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca=processor&"
		       "encoding=der'";
	return "curl https://certificates.trustedservices.intel.com/IntelSGXRootCA.der";
}

/* What the lists say of one certificate. */
struct revocation {
	bool unproven, stale, fresh;
	uint64_t stale_to, until;
};

static bool proven(const struct known_crl *l, X509 *issuer)
{
	uint8_t hash[SHA256_LEN];

	if (l->proven && x509_key_hash(issuer, hash, NULL) == 0 &&
		memcmp(hash, l->issuer_key, sizeof(hash)) == 0)
		return true;
	return x509_crl_issued_by(l->crl, issuer) == X509_ISSUED;
}

static int look_up(const struct check *c, const struct collateral *from, size_t i, struct revocation *r)
{
	X509 *cert = c->chain->cert[i], *issuer = c->chain->cert[i + 1];
	char name[NAME_MAX_LEN], serial[64];

	for (size_t k = 0; from && k < from->crl_count; k++) {
		const struct known_crl *l = &from->crls[k];

		if (!x509_crl_covers(l->crl, cert))
			continue;
		if (!proven(l, issuer)) {
			r->unproven = true;
			continue;
		}
		/* Also on a list that is no longer the newest: what is revoked stays revoked. */
		if (x509_crl_lists(l->crl, cert)) {
			x509_common_name(cert, name, sizeof(name));
			x509_serial_text(cert, serial, sizeof(serial));
			return evidence_refuse(c->err, i == 0 ? CHECK_REVOKED_KEY : CHECK_REVOKED_CA,
				"%s: %s with serial %s is on its issuer's revocation list, wanted one that "
				"is "
				"not",
				c->form->what, name, serial);
		}
		if (l->dated && c->ctx->now >= l->from && c->ctx->now < l->to) {
			r->fresh = true;
			r->until = l->to > r->until ? l->to : r->until;
		} else {
			r->stale = true;
			r->stale_to = l->dated && l->to > r->stale_to ? l->to : r->stale_to;
		}
	}
	return 0;
}

static int check_revocation(struct check *c, size_t i)
{
	struct revocation r = {0};
	char issuer[NAME_MAX_LEN], to[32], now[32];

	if (look_up(c, c->sources[0], i, &r) < 0 || look_up(c, c->sources[1], i, &r) < 0)
		return -1;
	if (r.fresh) {
		if (r.until < c->until)
			c->until = r.until;
		return 0;
	}
	x509_common_name(c->chain->cert[i + 1], issuer, sizeof(issuer));
	time_text(c->ctx->now, now);
	if (r.stale) {
		time_text(r.stale_to, to);
		return evidence_refuse(c->err, CHECK_CRL_TIME,
			"%s: the newest revocation list of %s is valid until %s, wanted one for %s: %s "
			">FILE, "
			"then "
			"scone collateral import FILE",
			c->form->what, issuer, to, now, crl_source(issuer));
	}
	if (r.unproven)
		return evidence_refuse(c->err, CHECK_CRL_SIGNATURE,
			"%s: the revocation list of %s is not signed by its key", c->form->what, issuer);
	if (c->ctx->allow_no_revocation)
		return 0;
	return evidence_refuse(c->err, CHECK_CRL_MISSING,
		"%s: seen no revocation list of %s, wanted one: %s >FILE, then scone collateral import FILE",
		c->form->what, issuer, crl_source(issuer));
}

int intel_chain_check(const struct x509_chain *chain, const struct intel_chain_form *form,
	const struct verify_context *ctx, enum tee_type tee, const struct collateral *const sources[2],
	uint64_t *ret_until, struct error *err)
{
	struct check c = {chain, form, ctx, sources, UINT64_MAX, err};
	char text[KEY_HASH_TEXT_MAX];
	uint8_t hash[SHA256_LEN];

	if (chain->count != form->count)
		return evidence_refuse(err, CHECK_CHAIN_FORMAT, "%s: %zu certificates, wanted %zu",
			form->what, chain->count, form->count);
	for (size_t i = 0; i < chain->count; i++)
		if (check_link(&c, i) < 0)
			return -1;
	for (size_t i = 0; i < chain->count; i++)
		if (check_role(&c, i) < 0)
			return -1;
	if (x509_key_hash(chain->cert[chain->count - 1], hash, err) < 0)
		return -1;
	if (!verify_root_trusted(ctx, tee, hash, intel_root_key_hash, 1)) {
		key_hash_text(hash, text);
		return evidence_refuse(err, CHECK_CHAIN_ROOT,
			"%s: its root has the key %s, wanted a trusted one (Intel SGX Root CA, unless others "
			"were given)",
			form->what, text);
	}
	for (size_t i = 0; i < chain->count; i++)
		if (check_time(&c, i) < 0)
			return -1;
	for (size_t i = 0; i + 1 < chain->count; i++)
		if (check_revocation(&c, i) < 0)
			return -1;
	*ret_until = c.until;
	return 0;
}
