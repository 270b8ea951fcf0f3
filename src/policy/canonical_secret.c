/* Secrets and volumes in the canonical form of docs/session-language.md, "Session hash". */
#include <string.h>
#include "policy/canonical_put.h"

/* item: "secret" or "volume", what it is a reference to; NULL: to a session. */
static void put_reference(struct buf *b, const struct session_ref *r, const char *item)
{
	buf_putc(b, '{');
	if (r->at_cas) {
		canonical_key(b, "cas_key");
		canonical_hex(b, r->cas_key, sizeof r->cas_key);
	}
	if (r->cas_url)
		canonical_text(b, "cas_url", r->cas_url);
	if (r->below)
		canonical_text(b, "namespace", r->session);
	if (item && r->item && !strcmp(item, "secret"))
		canonical_text(b, item, r->item);
	if (!r->below)
		canonical_text(b, "session", r->session);
	if (r->has_hash) {
		canonical_key(b, "session_hash");
		canonical_hex(b, r->hash, sizeof r->hash);
	}
	if (item && r->item && !strcmp(item, "volume"))
		canonical_text(b, item, r->item);
	buf_putc(b, '}');
}

static void put_exports(struct buf *b, const struct secret_spec *s)
{
	canonical_key(b, "export");
	buf_putc(b, '[');
	for (size_t i = 0; i < s->export_count; i++) {
		canonical_comma(b);
		put_reference(b, &s->exports[i], NULL);
	}
	buf_putc(b, ']');
}

static void put_import(struct buf *b, const struct secret_spec *s)
{
	canonical_comma(b);
	buf_putc(b, '{');
	canonical_key(b, "import");
	put_reference(b, &s->import, "secret");
	if (s->kind_known)
		canonical_text(b, "kind", secret_kind_name(s->kind));
	canonical_text(b, "name", s->name);
	buf_putc(b, '}');
}

/* dns and san are one list, in the order of the document. */
static void put_san(struct buf *b, const struct secret_spec *s)
{
	canonical_key(b, "san");
	buf_putc(b, '[');
	for (size_t i = 0; i < s->name_count; i++) {
		canonical_comma(b);
		buf_printf(b, "\"%s:%s\"", s->names[i].is_ip ? "ip" : "dns", s->names[i].text);
	}
	buf_putc(b, ']');
}

static void put_payload(struct buf *b, const struct secret_spec *s)
{
	canonical_key(b, "payload");
	buf_putc(b, '{');
	for (size_t i = 0; i < s->claim_count; i++)
		canonical_text(b, s->claims[i].name, s->claims[i].value);
	buf_putc(b, '}');
}

void canonical_secret(struct buf *b, const struct secret_spec *s)
{
	static const char *const key_types[] = {"Ed25519", "P-256", "P-384", "RSA-2048", "RSA-3072"};
	bool made = !s->has_value;

	if (s->imported) {
		put_import(b, s);
		return;
	}
	canonical_comma(b);
	buf_putc(b, '{');
	if (s->kind == SECRET_JWT)
		canonical_text(b, "alg", "ES384");
	if (made && s->alphabet != ALPHABET_PRINTABLE)
		canonical_text(b, "alphabet", s->alphabet == ALPHABET_HEX ? "hex" : "alphanumeric");
	if (made && s->common_name)
		canonical_text(b, "common_name", s->common_name);
	if (made && s->endpoint != ENDPOINT_NONE)
		canonical_text(b, "endpoint", s->endpoint == ENDPOINT_SERVER ? "server" : "client");
	if (s->export_count)
		put_exports(b, s);
	if (s->export_public) {
		canonical_key(b, "export_public");
		buf_puts(b, "true");
	}
	if (s->issuer)
		canonical_text(b, "issuer", s->issuer);
	if (made && s->kind == SECRET_PRIVATE_KEY && s->key_type != KEY_P256)
		canonical_text(b, "key_type", key_types[s->key_type]);
	canonical_text(b, "kind", s->certificate_of ? "session-ca" : secret_kind_name(s->kind));
	if (made && s->migrate) {
		canonical_key(b, "migrate");
		buf_puts(b, "true");
	}
	canonical_text(b, "name", s->name);
	if (s->claim_count)
		put_payload(b, s);
	if (s->private_key)
		canonical_text(b, "private_key", s->private_key);
	if (made && s->name_count)
		put_san(b, s);
	if (s->signer)
		canonical_text(b, "signer", s->signer);
	if (made && s->size != 20) {
		canonical_key(b, "size");
		buf_printf(b, "%u", s->size);
	}
	if (made && s->valid_for) {
		canonical_key(b, "valid_for");
		buf_printf(b, "%llu", (unsigned long long)s->valid_for);
	}
	if (s->has_value) {
		canonical_key(b, "value");
		canonical_hex(b, s->value.data, s->value.len);
	}
	buf_putc(b, '}');
}

static void put_volume_exports(struct buf *b, const struct volume_spec *v)
{
	canonical_key(b, "export");
	buf_putc(b, '[');
	for (size_t i = 0; i < v->export_count; i++) {
		const struct volume_export *e = &v->exports[i];

		canonical_comma(b);
		buf_putc(b, '{');
		canonical_key(b, "to");
		put_reference(b, &e->to, NULL);
		if (e->policy != UPDATE_ROLLBACK_PROTECTED)
			canonical_text(b, "update_policy", update_policy_name(e->policy));
		if (e->alias)
			canonical_text(b, "volume_alias", e->alias);
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
}

static void put_volume_key(struct buf *b, const struct volume_spec *v)
{
	canonical_key(b, "fspf_key");
	if (v->key_secret)
		buf_printf(b, "\"$$SCONE::%s$$\"", v->key_secret);
	else
		canonical_hex(b, v->key, sizeof v->key);
	canonical_key(b, "fspf_tag");
	canonical_hex(b, v->tag, sizeof v->tag);
}

void canonical_volume(struct buf *b, const struct volume_spec *v)
{
	canonical_comma(b);
	buf_putc(b, '{');
	if (v->export_count)
		put_volume_exports(b, v);
	if (v->authenticated_only)
		canonical_text(b, "files", "authenticated-only");
	if (v->has_key)
		put_volume_key(b, v);
	if (v->imported) {
		canonical_key(b, "import");
		put_reference(b, &v->import, "volume");
	}
	canonical_text(b, "name", v->name);
	buf_putc(b, '}');
}
