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
	{"signer", KEY_UNSUPPORTED, 0},
	{NULL, KEY_OK, 0},
};

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

static const char *const tolerances[] = {"debug-mode", "hyperthreading", "insecure-igpu", "aepic-leak",
	"software-hardening-needed", "insecure-configuration", "outdated-tcb", "maa-managed-tcb",
	"local-attestation-trust-cas-tcb", NULL};

/* false and the empty list are the defaults of these keys; anything more is a demand that this version cannot meet. */
static void only_default_list(
	struct parse *p, const struct ynode *map, const char *key, const char *const *words)
{
	const struct ynode *n = ynode_get(map, key);

	if (!n || refuse_template(p, n, key))
		return;
	if (!words && n->kind == YNODE_SCALAR && text_is(n, "*")) {
		unsupported(p, n, key);
		return;
	}
	if (!want_list(p, n) || n->count == 0)
		return;
	for (size_t i = 0; words && i < n->count; i++)
		if (want_word(p, n->items[i], words) < 0)
			return;
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
	only_default_list(p, a, "tolerate", tolerances);
	only_default_list(p, a, "ignore_advisories", NULL);
	only_default_list(p, a, "trusted_scone_qe_pubkeys", NULL);
	only_default_bool(p, a, "must_be_sgx_local");
	url = ynode_get(a, "url");
	if (url && !ynode_null(url))
		unsupported(p, url, "url");
	mode = ynode_get(a, "mode");
	if (mode)
		read_mode(p, mode);
}

#define WANTED_SHOWN 6

static int refuse_measurement(
	const struct session *s, const struct service *svc, const struct verdict *v, struct error *err)
{
	char seen[65], digits[65];
	size_t total = 0;
	struct buf wanted;

	buf_init(&wanted, 4096);
	for (size_t i = 0; i < svc->attestation_count; i++) {
		for (size_t k = 0; k < svc->attestation[i].mrenclave_count; k++) {
			if (total++ >= WANTED_SHOWN)
				continue;
			hex_encode(svc->attestation[i].mrenclave[k], 32, digits);
			buf_printf(&wanted, "%s%s", total > 1 ? " or " : "", digits);
		}
	}
	if (total > WANTED_SHOWN)
		buf_printf(&wanted, " or one of %zu more", total - WANTED_SHOWN);
	if (total == 0)
		buf_puts(&wanted, "nothing (the service lists no measurement)");
	hex_encode(v->measurement, 32, seen);
	error_set(err, ERR_ATTEST, "measurement: %s/%s: seen %s, wanted %s", s->name, svc->name, seen,
		buf_cstr(&wanted));
	buf_free(&wanted);
	return -1;
}

static bool measurement_listed(const struct service *svc, const struct verdict *v)
{
	for (size_t i = 0; i < svc->attestation_count; i++)
		for (size_t k = 0; k < svc->attestation[i].mrenclave_count; k++)
			if (secret_equal(svc->attestation[i].mrenclave[k], v->measurement, 32))
				return true;
	return false;
}

int attest_rule_check(
	const struct session *s, const struct service *svc, const struct verdict *v, struct error *err)
{
	bool simulated = v->simulated || v->tee == TEE_SIM;

	if (s->mode == MODE_NONE)
		return 0;
	if (v->tee == TEE_NONE)
		return error_set(err, ERR_ATTEST, "mode: %s/%s: seen no evidence, mode %s wants it", s->name,
			svc->name, attest_mode_name(s->mode));
	if (simulated && s->mode != MODE_SIMULATION)
		return error_set(err, ERR_ATTEST,
			"mode: %s/%s: seen simulated evidence (%s), mode %s wants evidence of hardware. "
			"`security: {attestation: {mode: simulation}}` in "
			"the session would permit it, and gives up protection from the host: whoever is root "
			"there can make such evidence for any "
			"code and read the program's memory, its secrets included",
			s->name, svc->name, tee_type_name(v->tee), attest_mode_name(s->mode));
	if (v->debug)
		return error_set(err, ERR_ATTEST,
			"debug: %s/%s: seen evidence of a debug environment (%s), which the host can "
			"inspect; wanted one without debug. No setting of "
			"this version permits it",
			s->name, svc->name, tee_type_name(v->tee));
	if (!measurement_listed(svc, v))
		return refuse_measurement(s, svc, v, err);
	return 0;
}
