#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "core/secret.h"
#include "policy/schema.h"

static const char *const modes[] = {"hardware", "none", "simulation", "maa", NULL};
#define MODE_MAA 3

const char *attest_mode_name(enum attest_mode m)
{
	return modes[m];
}

static const struct key_rule factor_keys[] = {
	{"mrenclave", KEY_OK, 0},
	{"signer", KEY_OK, 0},
	{"machine", KEY_OK, 0},
	{NULL, KEY_OK, 0},
};

static const struct key_rule signer_keys[] = {
	{"mrsigner", KEY_OK, 0},
	{"isvprodid", KEY_OK, 0},
	{"isvsvn", KEY_OK, 0},
	{"isvsvn_min", KEY_OK, 0},
	{"isvsvn_max", KEY_OK, 0},
	{NULL, KEY_OK, 0},
};
#define ISV_MAX 0xffff

static void add_measurement(struct parse *p, const struct ynode *n, struct attest_alternative *a)
{
	size_t count = a->mrenclave_count;
	uint8_t(*list)[32], digest[32];

	if (refuse_template(p, n, "attestation") || !want_hex(p, n, digest, sizeof digest))
		return;
	list = parse_grow(p, a->mrenclave, &count, sizeof *list);
	if (!list)
		return;
	memcpy(list[count - 1], digest, sizeof digest);
	a->mrenclave = list;
	a->mrenclave_count = count;
}

static void read_measurements(struct parse *p, const struct ynode *n, struct attest_alternative *a)
{
	if (n->kind != YNODE_LIST) {
		add_measurement(p, n, a);
		return;
	}
	if (n->count == 0)
		ynode_diag(p->d, n, "E-VALUE", "the list of measurements is empty; nothing could match it");
	for (size_t i = 0; i < n->count; i++)
		add_measurement(p, n->items[i], a);
}

static void read_signer(struct parse *p, const struct ynode *n, struct attest_alternative *a)
{
	const struct ynode *signer, *product, *svn = ynode_get(n, "isvsvn"),
					      *min = ynode_get(n, "isvsvn_min"),
					      *max = ynode_get(n, "isvsvn_max");

	if (refuse_template(p, n, "attestation") || !want_map(p, n))
		return;
	keys_check(p, n, signer_keys);
	a->has_signer = true;
	a->isvsvn_max = ISV_MAX;
	signer = want_key(p, n, "mrsigner");
	product = want_key(p, n, "isvprodid");
	if (signer && !refuse_template(p, signer, "attestation"))
		(void)want_hex(p, signer, a->mrsigner, sizeof a->mrsigner);
	if (product)
		(void)want_uint(p, product, 0, ISV_MAX, &a->isvprodid);
	if (svn && (min || max)) {
		ynode_diag_key(p->d, svn, "E-CONFLICT", "isvsvn beside isvsvn_min or isvsvn_max; keep one");
		return;
	}
	if (svn && want_uint(p, svn, 0, ISV_MAX, &a->isvsvn_min))
		a->isvsvn_max = a->isvsvn_min;
	if (min)
		(void)want_uint(p, min, 0, ISV_MAX, &a->isvsvn_min);
	if (max && want_uint(p, max, 0, ISV_MAX, &a->isvsvn_max) && a->isvsvn_min > a->isvsvn_max)
		ynode_diag(p->d, max, "E-VALUE",
			"isvsvn_min %u is above isvsvn_max %u; nothing could match it", a->isvsvn_min,
			a->isvsvn_max);
}

static struct attest_alternative *add_alternative(struct parse *p, struct service *s)
{
	size_t count = s->attestation_count;
	struct attest_alternative *list = parse_grow(p, s->attestation, &count, sizeof *list);

	if (!list)
		return NULL;
	s->attestation = list;
	s->attestation_count = count;
	return &list[count - 1];
}

static void read_alternative(struct parse *p, const struct ynode *n, struct service *s)
{
	struct attest_alternative *a;

	if (refuse_template(p, n, "attestation") || !want_map(p, n))
		return;
	if (n->count == 0) {
		ynode_diag(p->d, n, "E-VALUE", "no factor; everything would match it");
		return;
	}
	keys_check(p, n, factor_keys);
	a = add_alternative(p, s);
	if (a && ynode_get(n, "mrenclave"))
		read_measurements(p, ynode_get(n, "mrenclave"), a);
	if (a && ynode_get(n, "signer"))
		read_signer(p, ynode_get(n, "signer"), a);
	if (a && ynode_get(n, "machine"))
		read_machines(p, ynode_get(n, "machine"), a);
	if (a && ynode_get(n, "machine") && !ynode_get(n, "mrenclave"))
		ynode_diag(p->d, n, "E-MISSING",
			"the key mrenclave is required beside machine: any program on such a machine would "
			"match "
			"it");
}

#define QE_ID_WORD "INTEL_QE_ID:"

static void read_platform(struct parse *p, const struct ynode *n, struct service *s)
{
	struct attest_platform one = {.qe_id = false}, *list;
	size_t count = s->platform_count, word = strlen(QE_ID_WORD);

	if (refuse_template(p, n, "platforms") || !want_text(p, n, false))
		return;
	one.qe_id = n->len > word && memcmp(n->text, QE_ID_WORD, word) == 0;
	if (one.qe_id ? hex_decode(n->text + word, n->len - word, one.id, 16) < 0
		      : hex_decode(n->text, n->len, one.id, sizeof one.id) < 0) {
		ynode_diag(p->d, n, "E-VALUE",
			"a platform is wanted: " QE_ID_WORD
			" and 32 hex digits, or 64 hex digits, the hash of its key");
		return;
	}
	list = parse_grow(p, s->platforms, &count, sizeof *list);
	if (!list)
		return;
	list[count - 1] = one;
	s->platforms = list;
	s->platform_count = count;
}

void read_platforms(struct parse *p, const struct ynode *n, struct service *ret)
{
	if (!n || refuse_template(p, n, "platforms") || !want_list(p, n))
		return;
	if (n->count == 0)
		ynode_diag(p->d, n, "E-VALUE", "the list of platforms is empty; nothing could match it");
	for (size_t i = 0; i < n->count; i++)
		read_platform(p, n->items[i], ret);
}

void read_attestation(struct parse *p, const struct ynode *service, struct service *ret)
{
	const struct ynode *n = ynode_get(service, "attestation"), *old = ynode_get(service, "mrenclaves");
	struct attest_alternative *a;

	if (n && old)
		ynode_diag_key(p->d, old, "E-CONFLICT",
			"mrenclaves is the old form of attestation, which stands here too; keep one");
	if (n) {
		if (n->kind != YNODE_LIST) {
			read_alternative(p, n, ret);
			return;
		}
		if (n->count == 0)
			ynode_diag(p->d, n, "E-VALUE",
				"the list of alternatives is empty; nothing could match it");
		for (size_t i = 0; i < n->count; i++)
			read_alternative(p, n->items[i], ret);
	} else if (old) {
		ynode_diag_key(p->d, old, "W-DEPRECATED", "write attestation: {mrenclave: [...]} instead");
		if (!want_list(p, old))
			return;
		a = add_alternative(p, ret);
		if (a)
			read_measurements(p, old, a);
	} else if (p->s->mode != MODE_NONE) {
		ynode_diag(p->d, service, "E-MISSING",
			"the key attestation is required: without {mrenclave: ...} no program could ever be "
			"this service");
	}
}

static const struct key_rule security_keys[] = {
	{"attestation", KEY_OK, 1},
	{"singleton_enclaves", KEY_OK, 9},
	{"service_access_token", KEY_UNSUPPORTED, 9},
	{NULL, KEY_OK, 0},
};

static const struct key_rule attestation_keys[] = {
	{"mode", KEY_OK, 0},
	{"tolerate", KEY_OK, 0},
	{"ignore_advisories", KEY_OK, 0},
	{"must_be_sgx_local", KEY_OK, 11},
	{"trusted_scone_qe_pubkeys", KEY_OK, 0},
	{"url", KEY_OK, 7},
	{"certificates", KEY_UNSUPPORTED, 7},
	{"min_rsa_signing_key_size", KEY_UNSUPPORTED, 7},
	{"one_time_password_shared_secret", KEY_UNSUPPORTED, 8},
	{NULL, KEY_OK, 0},
};

/* Those that this version can meet come first, in the order of attest_tolerance_name. */
static const char *const tolerances[] = {"debug-mode", "hyperthreading", "insecure-igpu", "aepic-leak",
	"software-hardening-needed", "insecure-configuration", "outdated-tcb", "maa-managed-tcb",
	"local-attestation-trust-cas-tcb", NULL};

const char *attest_tolerance_name(unsigned int bit)
{
	return bit < ATTEST_TOLERANCES ? tolerances[bit] : NULL;
}

static void read_tolerate(struct parse *p, const struct ynode *n)
{
	if (!n || refuse_template(p, n, "tolerate") || !want_list(p, n))
		return;
	for (size_t i = 0; i < n->count; i++) {
		int word = want_word(p, n->items[i], tolerances);

		if (word >= ATTEST_TOLERANCES)
			unsupported(p, n->items[i], tolerances[word]);
		else if (word >= 0)
			p->s->tolerate |= 1u << word;
	}
	if (p->s->tolerate & 1)
		ynode_diag(p->d, n, "W-DEBUG",
			"debug-mode is tolerated: the host can read the memory of such programs, their "
			"secrets "
			"included");
}

static void add_advisory(struct parse *p, const struct ynode *n)
{
	static const char prefix[] = "INTEL-SA-";
	size_t count = p->s->ignore_count, at = 0;
	char **list, *name;

	if (refuse_template(p, n, "ignore_advisories") || !want_text(p, n, false))
		return;
	if (n->len != sizeof prefix - 1 + 5 || memcmp(n->text, prefix, sizeof prefix - 1) != 0 ||
		strspn(n->text + sizeof prefix - 1, "0123456789") != 5) {
		ynode_diag(p->d, n, "E-VALUE", "an advisory is wanted: INTEL-SA- and five digits");
		return;
	}
	while (at < count && strcmp(p->s->ignore_advisories[at], n->text) < 0)
		at++;
	if (at < count && strcmp(p->s->ignore_advisories[at], n->text) == 0)
		return;
	name = parse_strdup(p, n->text, n->len);
	list = name ? parse_grow(p, p->s->ignore_advisories, &count, sizeof *list) : NULL;
	if (!list) {
		free(name);
		return;
	}
	memmove(list + at + 1, list + at, (count - 1 - at) * sizeof *list);
	list[at] = name;
	p->s->ignore_advisories = list;
	p->s->ignore_count = count;
}

static void read_ignore(struct parse *p, const struct ynode *n)
{
	if (!n || refuse_template(p, n, "ignore_advisories"))
		return;
	if (n->kind == YNODE_SCALAR && text_is(n, "*")) {
		p->s->ignore_all = true;
		ynode_diag(p->d, n, "W-ADVISORY",
			"\"*\" counts for debug and simulated evidence only; name the advisories that "
			"production "
			"may ignore");
		return;
	}
	if (!want_list(p, n))
		return;
	for (size_t i = 0; i < n->count; i++)
		add_advisory(p, n->items[i]);
}

/* false and the empty list are the defaults of these keys; anything more is a demand that this version cannot meet. */
static void only_default_list(struct parse *p, const struct ynode *map, const char *key)
{
	const struct ynode *n = ynode_get(map, key);

	if (n && !refuse_template(p, n, key) && want_list(p, n) && n->count > 0)
		unsupported(p, n, key);
}

static void only_default_bool(struct parse *p, const struct ynode *map, const char *key)
{
	const struct ynode *n = ynode_get(map, key);
	bool v;

	if (n && !refuse_template(p, n, key) && want_bool(p, n, &v) && v)
		unsupported(p, n, key);
}

static void read_mode(struct parse *p, const struct ynode *n)
{
	int mode;

	if (refuse_template(p, n, "security"))
		return;
	mode = want_word(p, n, modes);
	if (mode == MODE_MAA)
		ynode_diag(p->d, n, "E-UNSUPPORTED", UNSUPPORTED "mode maa");
	if (mode < 0 || mode == MODE_MAA)
		return;
	p->s->mode = (enum attest_mode)mode;
	if (p->s->mode == MODE_NONE)
		ynode_diag(p->d, n, "W-MODE",
			"mode none: nothing is verified, everyone who reaches CAS can get the secrets");
	if (p->s->mode == MODE_SIMULATION)
		ynode_diag(p->d, n, "W-MODE",
			"mode simulation: wrong code is refused, but the host's root is not kept out");
}

void read_security(struct parse *p, const struct ynode *n)
{
	const struct ynode *a, *mode, *url;

	if (!n || refuse_template(p, n, "security") || !want_map(p, n))
		return;
	keys_check(p, n, security_keys);
	only_default_bool(p, n, "singleton_enclaves");
	a = ynode_get(n, "attestation");
	if (!a || refuse_template(p, a, "security") || !want_map(p, a))
		return;
	keys_check(p, a, attestation_keys);
	read_tolerate(p, ynode_get(a, "tolerate"));
	read_ignore(p, ynode_get(a, "ignore_advisories"));
	only_default_list(p, a, "trusted_scone_qe_pubkeys");
	only_default_bool(p, a, "must_be_sgx_local");
	url = ynode_get(a, "url");
	if (url && !ynode_null(url))
		unsupported(p, url, "url");
	mode = ynode_get(a, "mode");
	if (mode)
		read_mode(p, mode);
}
