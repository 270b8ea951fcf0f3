/* The block security (session language, section 11). */
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "policy/graft.h"

#define OTP_KEY_MIN 16 /* bytes */
#define OTP_KEY_MAX 256

static const char *const modes[] = {"hardware", "none", "simulation", "maa", NULL};
#define MODE_MAA 3

const char *attest_mode_name(enum attest_mode m)
{
	return modes[m];
}

static const struct key_rule security_keys[] = {
	{"attestation", KEY_OK, 1},
	{"singleton_enclaves", KEY_OK, 9},
	{"service_access_token", KEY_OK, 9},
	{NULL, KEY_OK, 0},
};

static const struct key_rule attestation_keys[] = {
	{"mode", KEY_OK, 0},
	{"tolerate", KEY_OK, 0},
	{"ignore_advisories", KEY_OK, 0},
	{"must_be_sgx_local", KEY_OK, 11},
	{"trusted_scone_qe_pubkeys", KEY_OK, 0},
	{"url", KEY_OK, 7},
	{"certificates", KEY_OK, 7},
	{"min_rsa_signing_key_size", KEY_OK, 7},
	{"one_time_password_shared_secret", KEY_OK, 8},
	{NULL, KEY_OK, 0},
};

/* Those that this version can meet come first, in the order of attest_tolerance_name. */
static const char *const tolerances[] = {"debug-mode", "hyperthreading", "insecure-igpu", "aepic-leak",
	"software-hardening-needed", "insecure-configuration", "outdated-tcb", "maa-managed-tcb",
	"local-attestation-trust-cas-tcb", "debug", NULL};
#define TOLERATE_WORD_DEBUG 9

const char *attest_tolerance_name(unsigned int bit)
{
	return bit < ATTEST_TOLERANCES ? tolerances[bit] : NULL;
}

static void read_tolerate(struct parse *p, const struct ynode *n)
{
	if (!n || is_open(p, n) || !want_list(p, n))
		return;
	for (size_t i = 0; i < n->count; i++) {
		int word = want_word(p, n->items[i], tolerances);

		if (word == TOLERATE_WORD_DEBUG) {
			ynode_diag(p->d, n->items[i], "W-DEPRECATED", "write debug-mode");
			word = 0;
		}
		if (word >= ATTEST_TOLERANCES)
			ynode_diag(p->d, n->items[i], "W-IGNORED",
				"%s permits what is never asked for here: it has no effect",
				tolerances[word]);
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

	if (is_open(p, n) || !want_text(p, n, false))
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
	if (!n || is_open(p, n))
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

	if (n && !is_open(p, n) && want_list(p, n) && n->count > 0)
		unsupported(p, n, key);
}

static void only_default_bool(struct parse *p, const struct ynode *map, const char *key)
{
	const struct ynode *n = ynode_get(map, key);
	bool v;

	if (n && !is_open(p, n) && want_bool(p, n, &v) && v)
		unsupported(p, n, key);
}

/* What is only for mode maa, which is refused. */
static void warn_of_maa(struct parse *p, const struct ynode *map)
{
	static const char *const keys[] = {"certificates", "min_rsa_signing_key_size", NULL};

	for (size_t i = 0; keys[i]; i++)
		if (ynode_get(map, keys[i]))
			ynode_diag_key(p->d, ynode_get(map, keys[i]), "W-IGNORED",
				"%s is for mode maa: it has no effect", keys[i]);
}

static void read_mode(struct parse *p, const struct ynode *n)
{
	int mode;

	if (is_open(p, n))
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

/* Base32 of at least 128 bits (RFC 4226, 4; RFC 4648, 6), in either case, with or without padding. */
static void read_otp(struct parse *p, const struct ynode *n, struct secret *ret)
{
	struct error err;
	struct buf b;

	if (!n || is_open(p, n) || !want_text(p, n, false))
		return;
	buf_init_secret(&b, OTP_KEY_MAX);
	if (base32_decode(n->text, n->len, &b))
		ynode_diag(p->d, n, "E-VALUE",
			"the shared secret of one-time passwords is no base32 of up to %d bytes",
			OTP_KEY_MAX);
	else if (b.len < OTP_KEY_MIN)
		ynode_diag(p->d, n, "E-LENGTH",
			"the shared secret of one-time passwords has %zu bits; at least %d are wanted",
			8 * b.len, 8 * OTP_KEY_MIN);
	else if (secret_set(ret, b.data, b.len, &err))
		parse_nomem(p);
	buf_free(&b);
}

void read_service_otp(struct parse *p, const struct ynode *n, struct service *ret)
{
	if (!n)
		return;
	p->met_open = false;
	graft_templates(p, n, &ret->otp_written);
	read_otp(p, n, &ret->otp);
	ret->otp_open = p->met_open;
}

/* Any text: whoever may read the session knows it, and whoever gives it to the program. */
static void read_access_token(struct parse *p, const struct ynode *n)
{
	if (!n || is_open(p, n) || !want_text(p, n, false))
		return;
	if (n->len == 0 || n->len > SERVICE_TOKEN_MAX)
		ynode_diag(p->d, n, "E-LENGTH", "an access token of %zu bytes; 1 to %d are allowed", n->len,
			SERVICE_TOKEN_MAX);
	else
		p->s->access_token = parse_strdup(p, n->text, n->len);
}

static void read_block(struct parse *p, const struct ynode *n)
{
	const struct ynode *a, *mode, *url;

	keys_check(p, n, security_keys);
	if (ynode_get(n, "singleton_enclaves") && !is_open(p, ynode_get(n, "singleton_enclaves")))
		(void)want_bool(p, ynode_get(n, "singleton_enclaves"), &p->s->singleton);
	read_access_token(p, ynode_get(n, "service_access_token"));
	a = ynode_get(n, "attestation");
	if (!a || is_open(p, a) || !want_map(p, a))
		return;
	keys_check(p, a, attestation_keys);
	read_tolerate(p, ynode_get(a, "tolerate"));
	read_ignore(p, ynode_get(a, "ignore_advisories"));
	read_otp(p, ynode_get(a, "one_time_password_shared_secret"), &p->s->otp);
	only_default_list(p, a, "trusted_scone_qe_pubkeys");
	only_default_bool(p, a, "must_be_sgx_local");
	warn_of_maa(p, a);
	url = ynode_get(a, "url");
	if (url && !ynode_null(url))
		unsupported(p, url, "url");
	mode = ynode_get(a, "mode");
	if (mode)
		read_mode(p, mode);
}

void read_security(struct parse *p, const struct ynode *n)
{
	if (!n)
		return;
	p->met_open = false;
	graft_templates(p, n, &p->s->security_written);
	if (!is_open(p, n) && want_map(p, n))
		read_block(p, n);
	p->s->security_open = p->met_open;
	if (p->s->security_open)
		ynode_diag_key(p->d, n, "W-OPEN",
			"a template in it is known only when evidence is checked; nobody attests if it does "
			"not resolve then");
}
