#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "core/secret.h"
#include "policy/graft.h"

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

	if (is_open(p, n) || !want_hex(p, n, digest, sizeof digest))
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

	if (is_open(p, n) || !want_map(p, n))
		return;
	keys_check(p, n, signer_keys);
	a->has_signer = true;
	a->isvsvn_max = ISV_MAX;
	signer = want_key(p, n, "mrsigner");
	product = want_key(p, n, "isvprodid");
	if (signer && !is_open(p, signer))
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

/* All of it is a template that is not resolved. */
static void add_open(struct parse *p, struct service *s)
{
	struct attest_alternative *a = add_alternative(p, s);

	if (a)
		a->open = true;
}

static void read_alternative(struct parse *p, const struct ynode *n, struct service *s)
{
	struct attest_alternative *a;

	p->met_open = false;
	if (is_open(p, n)) {
		add_open(p, s);
		return;
	}
	if (!want_map(p, n))
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
	if (a)
		a->open = p->met_open;
}

#define QE_ID_WORD "INTEL_QE_ID:"

static void read_platform(struct parse *p, const struct ynode *n, struct service *s)
{
	struct attest_platform one = {.qe_id = false}, *list;
	size_t count = s->platform_count, word = strlen(QE_ID_WORD);

	if (is_open(p, n) || !want_text(p, n, false))
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
	p->met_open = false;
	if (n)
		graft_templates(p, n, &ret->platforms_written);
	if (is_open(p, n))
		ret->platforms_open = true;
	if (!n || n->open || !want_list(p, n))
		return;
	if (n->count == 0)
		ynode_diag(p->d, n, "E-VALUE", "the list of platforms is empty; nothing could match it");
	for (size_t i = 0; i < n->count; i++)
		read_platform(p, n->items[i], ret);
	ret->platforms_open |= p->met_open;
}

void read_attestation(struct parse *p, const struct ynode *service, struct service *ret)
{
	const struct ynode *n = ynode_get(service, "attestation"), *old = ynode_get(service, "mrenclaves");
	struct attest_alternative *a;

	if (n && old)
		ynode_diag_key(p->d, old, "E-CONFLICT",
			"mrenclaves is the old form of attestation, which stands here too; keep one");
	if (n) {
		graft_templates(p, n, &ret->attestation_written);
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
		if (!p->old)
			ynode_diag_key(
				p->d, old, "W-DEPRECATED", "write attestation: {mrenclave: [...]} instead");
		if (!want_list(p, old))
			return;
		a = add_alternative(p, ret);
		if (a)
			read_measurements(p, old, a);
	} else if (p->s->mode != MODE_NONE && !p->s->security_open) {
		ynode_diag(p->d, service, "E-MISSING",
			"the key attestation is required: without {mrenclave: ...} no program could ever be "
			"this service");
	}
}
