#include "evidence/bundle.h"

#include <string.h>
#include "evidence/check.h"
#include "evidence/type.h"

static const char *const tee_names[] = {
	[TEE_NONE] = "none",
	[TEE_SIM] = "sim",
	[TEE_TPM] = "tpm",
	[TEE_SNP] = "sev-snp",
	[TEE_TDX] = "tdx",
	[TEE_SGX] = "sgx",
	[TEE_NITRO] = "nitro",
};
#define TEE_COUNT (sizeof(tee_names) / sizeof(*tee_names))

const char *tee_type_name(enum tee_type t)
{
	return (size_t)t < TEE_COUNT ? tee_names[t] : "unknown";
}

enum tee_type tee_type_parse(const char *name)
{
	for (size_t i = TEE_NONE + 1; i < TEE_COUNT; i++)
		if (strcmp(name, tee_names[i]) == 0)
			return (enum tee_type)i;
	return strcmp(name, "snp") == 0 ? TEE_SNP : TEE_NONE;
}

static int parse_items(struct rd *r, struct evidence *e, struct error *err)
{
	size_t last = 0;

	while (r->left > 0) {
		size_t kind = rd_u16be(r), n = 0;
		const uint8_t *p = rd_block(r, EVIDENCE_MAX, &n);

		if (r->failed || !p || n == 0)
			return evidence_refuse(err, CHECK_FORMAT,
				"bundle: an item is cut off or empty, wanted u16 kind, u32 length, bytes");
		if (kind <= last || kind >= ITEM_END)
			return evidence_refuse(err, CHECK_FORMAT,
				"bundle: item of kind %zu after kind %zu, wanted ascending kinds up to %d",
				kind, last, ITEM_END - 1);
		e->item[kind] = (struct bytes){p, n};
		last = kind;
	}
	if (!e->item[ITEM_STATEMENT].p)
		return evidence_refuse(err, CHECK_FORMAT, "bundle: no statement in it, wanted one");
	return 0;
}

static int parse_bundle(const uint8_t *p, size_t n, struct evidence *e, struct error *err)
{
	struct rd r;
	unsigned int version, tee;

	rd_init(&r, p + sizeof(BUNDLE_MAGIC) - 1, n - (sizeof(BUNDLE_MAGIC) - 1));
	version = rd_u16be(&r);
	tee = rd_u16be(&r);
	if (r.failed)
		return evidence_refuse(err, CHECK_FORMAT, "bundle: %zu bytes end in its head", n);
	if (version != BUNDLE_VERSION)
		return evidence_refuse(
			err, CHECK_VERSION, "bundle: version is %u, wanted %d", version, BUNDLE_VERSION);
	e->tee = (enum tee_type)tee;
	if (!evidence_type(e->tee))
		return evidence_refuse(err, CHECK_FORMAT, "bundle: type is %u, which is none", tee);
	return parse_items(&r, e, err);
}

int evidence_parse(const uint8_t *p, size_t n, enum tee_type want, struct evidence *ret, struct error *err)
{
	struct evidence e = {0};

	if (n > EVIDENCE_MAX)
		return error_set(
			err, ERR_LIMIT, "evidence of %zu bytes, at most %d are taken", n, EVIDENCE_MAX);
	if (n >= sizeof(BUNDLE_MAGIC) - 1 && memcmp(p, BUNDLE_MAGIC, sizeof(BUNDLE_MAGIC) - 1) == 0) {
		if (parse_bundle(p, n, &e, err) < 0)
			return -1;
		if (want != TEE_NONE && e.tee != want)
			return evidence_refuse(err, CHECK_TYPE, "bundle: its type is %s, wanted %s",
				tee_type_name(e.tee), tee_type_name(want));
	} else {
		const struct evidence_type *t =
			want == TEE_NONE ? evidence_type_recognise(p, n) : evidence_type(want);

		if (!t)
			return error_set(err, ERR_INPUT, "evidence of %zu bytes has no known type", n);
		e.tee = t->tee;
		e.item[ITEM_STATEMENT] = (struct bytes){p, n};
	}
	*ret = e;
	return 0;
}

int evidence_write(const struct evidence *e, struct buf *out, struct error *err)
{
	buf_puts(out, BUNDLE_MAGIC);
	buf_put_u16be(out, BUNDLE_VERSION);
	buf_put_u16be(out, (uint16_t)e->tee);
	for (size_t i = 1; i < ITEM_END; i++) {
		if (e->item[i].n == 0)
			continue;
		buf_put_u16be(out, (uint16_t)i);
		buf_put_block(out, e->item[i].p, e->item[i].n);
	}
	if (out->failed)
		return error_set(err, ERR_LIMIT, "bundle: more than %zu bytes", out->max);
	return 0;
}
