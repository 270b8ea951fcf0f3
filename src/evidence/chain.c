#include "evidence/chain.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>
#include "core/encode.h"
#include "crypto/x509.h"
#include "evidence/check.h"
#include "evidence/collateral_store.h"

#define NAME_LEN 80
#define TIME_LEN 32

void chain_time_text(uint64_t seconds, char *ret, size_t n)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(ret, n, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(ret, n, "?");
}

static void earlier(uint64_t *until, uint64_t t)
{
	if (*until == 0 || t < *until)
		*until = t;
}

static int check_dates(const char *what, const char *name, enum evidence_check check, uint64_t from,
	uint64_t to, uint64_t now, uint64_t *valid_until, struct error *err)
{
	char a[TIME_LEN], b[TIME_LEN], c[TIME_LEN];

	if (now >= from && now <= to) {
		earlier(valid_until, to);
		return 0;
	}
	chain_time_text(from, a, sizeof(a));
	chain_time_text(to, b, sizeof(b));
	chain_time_text(now, c, sizeof(c));
	return evidence_refuse(
		err, check, "%s: %s is valid from %s to %s, wanted at %s", what, name, a, b, c);
}

int chain_check_dates(X509 *cert, const char *what, uint64_t now, uint64_t *valid_until, struct error *err)
{
	char name[NAME_LEN], text[NAME_LEN + 20];
	uint64_t from, to;

	x509_common_name(cert, name, sizeof(name));
	if (x509_times(cert, &from, &to) < 0)
		return evidence_refuse(err, CHECK_CHAIN_FORMAT,
			"%s: certificate '%s' has malformed dates, wanted some after 1970", what, name);
	snprintf(text, sizeof(text), "certificate '%s'", name);
	return check_dates(what, text, CHECK_CHAIN_TIME, from, to, now, valid_until, err);
}

static int check_link(const struct x509_chain *c, size_t i, const char *what, struct error *err)
{
	X509 *issuer = c->cert[i + 1 < c->count ? i + 1 : i];
	char name[NAME_LEN], over[NAME_LEN];

	x509_common_name(c->cert[i], name, sizeof(name));
	x509_common_name(issuer, over, sizeof(over));
	switch (x509_issued_by(c->cert[i], issuer)) {
	case X509_ISSUED:
		return 0;
	case X509_OTHER_ISSUER:
		return evidence_refuse(err, CHECK_CHAIN_ORDER,
			"%s: certificate %zu '%s' was not issued by '%s', which stands in its issuer's place",
			what, i, name, over);
	case X509_NOT_A_CA:
		return evidence_refuse(err, CHECK_CHAIN_ROLE,
			"%s: certificate '%s' may not issue '%s': it is no CA", what, over, name);
	case X509_BAD_SIGNATURE:
		break;
	}
	return evidence_refuse(err, CHECK_CHAIN_SIGNATURE,
		"%s: signature of certificate %zu '%s' is not that of '%s'", what, i, name, over);
}

/* A chain whose end names another issuer lacks that one's certificate. */
static int check_end(X509 *last, const char *what, struct error *err)
{
	char name[NAME_LEN];

	if (X509_NAME_cmp(X509_get_issuer_name(last), X509_get_subject_name(last)) == 0)
		return 0;
	x509_common_name(last, name, sizeof(name));
	return evidence_refuse(err, CHECK_CHAIN_MISSING,
		"%s: it ends in '%s', which another one issued, wanted all up to a self-issued root", what,
		name);
}

/* Certificates below a CA, other than the leaf, are counted by its path length (RFC 5280, 4.2.1.9). */
static int check_role(const struct x509_chain *c, size_t i, const char *what, struct error *err)
{
	long most = X509_get_pathlen(c->cert[i]);
	char name[NAME_LEN];

	x509_common_name(c->cert[i], name, sizeof(name));
	if (X509_get_extension_flags(c->cert[i]) & (EXFLAG_CRITICAL | EXFLAG_INVALID))
		return evidence_refuse(err, CHECK_CHAIN_ROLE,
			"%s: certificate '%s' has a critical extension that is not known here, or a "
			"malformed one",
			what, name);
	if (i > 0 && most >= 0 && (size_t)most < i - 1)
		return evidence_refuse(err, CHECK_CHAIN_ROLE,
			"%s: certificate '%s' permits %ld CAs below it, there are %zu", what, name, most,
			i - 1);
	return 0;
}

static int check_root(const struct x509_chain *c, const struct chain_rules *rules,
	const struct verify_context *ctx, struct error *err)
{
	X509 *root = c->cert[c->count - 1];
	uint8_t hash[KEY_HASH_LEN];
	char name[NAME_LEN], hex[2 * KEY_HASH_LEN + 1];

	x509_common_name(root, name, sizeof(name));
	if (x509_key_hash(root, hash, NULL) < 0)
		return evidence_refuse(err, CHECK_CHAIN_FORMAT,
			"%s: root certificate '%s' has no readable key", rules->what, name);
	if (verify_root_trusted(ctx, rules->tee, hash, rules->built_in, rules->built_in_count))
		return 0;
	hex_encode(hash, sizeof(hash), hex);
	return evidence_refuse(err, CHECK_CHAIN_ROOT,
		"%s: it ends in '%s' with the key %s, wanted the key of a trusted root of %s", rules->what,
		name, hex, tee_type_name(rules->tee));
}

/* The newest list about c->cert[i] that its issuer signed. */
struct newest {
	X509_CRL *crl;
	uint64_t from, to;
	size_t unsigned_lists; /* lists in the issuer's name that are not its */
};

static void consider(X509_CRL *crl, const struct x509_chain *c, size_t i, struct newest *n)
{
	uint64_t from, to;

	if (!crl || !x509_crl_covers(crl, c->cert[i]))
		return;
	if (x509_crl_times(crl, &from, &to) < 0 || x509_crl_issued_by(crl, c->cert[i + 1]) != X509_ISSUED) {
		n->unsigned_lists++;
		return;
	}
	if (!n->crl || from > n->from)
		*n = (struct newest){crl, from, to, n->unsigned_lists};
}

/* How to get the list that is missing or too old. */
static int say_source(const struct chain_rules *rules, struct error *err)
{
	const char *check = err ? err->check : NULL;

	if (!err)
		return -1;
	error_set(err, ERR_ATTEST, "%s: %s%sscone collateral import FILE", err->text,
		rules->crl_command ? rules->crl_command : "", rules->crl_command ? " >FILE, then " : "");
	err->check = check;
	return -1;
}

static int check_list(const struct newest *n, const struct x509_chain *c, size_t i,
	const struct chain_rules *rules, uint64_t now, uint64_t *valid_until, struct error *err)
{
	char name[NAME_LEN], text[NAME_LEN + 40], serial[48];
	const char *what = rules->what;

	x509_common_name(c->cert[i + 1], name, sizeof(name));
	snprintf(text, sizeof(text), "revocation list of '%s'", name);
	if (check_dates(what, text, CHECK_CRL_TIME, n->from, n->to, now, valid_until, err) < 0)
		return say_source(rules, err);
	if (!x509_crl_lists(n->crl, c->cert[i]))
		return 0;
	x509_common_name(c->cert[i], name, sizeof(name));
	x509_serial_text(c->cert[i], serial, sizeof(serial));
	return evidence_refuse(err, i == 0 ? CHECK_REVOKED_KEY : CHECK_REVOKED_CA,
		"%s: certificate '%s' (serial number %s) is revoked by the %s", what, name, serial, text);
}

static int no_list(const struct newest *n, const struct x509_chain *c, size_t i,
	const struct chain_rules *rules, const struct verify_context *ctx, struct error *err)
{
	char name[NAME_LEN];

	x509_common_name(c->cert[i + 1], name, sizeof(name));
	if (n->unsigned_lists)
		return evidence_refuse(err, CHECK_CRL_SIGNATURE,
			"%s: the revocation list of '%s' is not signed by it, or it may not sign lists",
			rules->what, name);
	if (!rules->need_crl || ctx->allow_no_revocation ||
		X509_get_ext_by_NID(c->cert[i], NID_crl_distribution_points, -1) < 0)
		return 0;
	evidence_refuse(err, CHECK_CRL_MISSING, "%s: there is no revocation list of '%s', wanted one",
		rules->what, name);
	return say_source(rules, err);
}

static int check_revocation(const struct x509_chain *c, const struct chain_rules *rules,
	const struct verify_context *ctx, uint64_t *valid_until, struct error *err)
{
	for (size_t i = 0; i + 1 < c->count; i++) {
		struct newest n = {0};

		consider(rules->carried, c, i, &n);
		for (size_t k = 0; ctx->collateral && k < ctx->collateral->crl_count; k++)
			consider(ctx->collateral->crls[k].crl, c, i, &n);
		if (n.crl ? check_list(&n, c, i, rules, ctx->now, valid_until, err) < 0
			  : no_list(&n, c, i, rules, ctx, err) < 0)
			return -1;
	}
	return 0;
}

int chain_verify(const struct x509_chain *c, const struct chain_rules *rules,
	const struct verify_context *ctx, uint64_t *valid_until, struct error *err)
{
	uint64_t until = *valid_until;

	if (c->count == 0)
		return evidence_refuse(
			err, CHECK_CHAIN_MISSING, "%s: there are no certificates", rules->what);
	if (check_end(c->cert[c->count - 1], rules->what, err) < 0)
		return -1;
	for (size_t i = 0; i < c->count; i++)
		if (check_link(c, i, rules->what, err) < 0 || check_role(c, i, rules->what, err) < 0)
			return -1;
	if (check_root(c, rules, ctx, err) < 0)
		return -1;
	for (size_t i = 0; i < c->count; i++)
		if (chain_check_dates(c->cert[i], rules->what, ctx->now, &until, err) < 0)
			return -1;
	if (check_revocation(c, rules, ctx, &until, err) < 0)
		return -1;
	*valid_until = until;
	return 0;
}
