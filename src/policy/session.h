/*
 * session: one policy document, parsed and validated (session language 0.3). No I/O.
 *
 * Versions 0.3 to 0.3.12, and 0.1 and 0.2 in the model of 0.3 (old.c). What the language has beyond what docs/session-language.md says is refused by name with
 * E-UNSUPPORTED, never ignored.
 */
#ifndef SCONE_POLICY_SESSION_H
#define SCONE_POLICY_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"
#include "core/secret.h"
#include "crypto/key.h"
#include "crypto/x509_issue.h"
#include "evidence/verdict.h"
#include "policy/access.h"
#include "policy/board.h"
#include "policy/diag.h"
#include "policy/machine.h"
#include "policy/template.h"

#define SESSION_TEXT_MAX (1024 * 1024)
#define SESSION_HASH_LEN 32
#define SERVICE_TOKEN_MAX 1024 /* bytes of security.service_access_token */

enum attest_mode { MODE_HARDWARE, MODE_NONE, MODE_SIMULATION };
const char *attest_mode_name(enum attest_mode m);

enum secret_kind {
	SECRET_ASCII,
	SECRET_BINARY,
	SECRET_PRIVATE_KEY,
	SECRET_PUBLIC_KEY,
	SECRET_X509, /* end entity */
	SECRET_X509_CA,
	SECRET_FRAGMENT, /* a YAML value for places of configuration */
	SECRET_PGP,
	SECRET_JWT
};
const char *secret_kind_name(enum secret_kind k);
/* x509, x509-ca */
bool secret_kind_is_certificate(enum secret_kind k);
/* Its value is in several forms (secret_parts.h): keys and certificates. */
bool secret_kind_has_parts(enum secret_kind k);

/* ext 14.4: alphabet of a generated ascii secret */
enum secret_alphabet { ALPHABET_PRINTABLE, ALPHABET_ALNUM, ALPHABET_HEX };

/* A session and what it has, section 7.1. */
struct session_ref {
	char *session; /* absolute name */
	bool below; /* export: and all sessions below it */
	bool has_hash;
	uint8_t hash[SESSION_HASH_LEN]; /* valid only while the session has it */
	char *item; /* import: name of the secret or volume at the exporter */
	bool at_cas; /* it is a session of another CAS, which has cas_key; secrets only */
	uint8_t cas_key[32];
	char *cas_url; /* addresses of that CAS as http_client_open takes them; an import has one, an export may */
};

#define JWT_SELF "$$SCONE::self::software_identity$$" /* as a claim's value: the attested measurement, hex */
struct jwt_claim {
	char *name;
	char *value; /* text; JWT_SELF, or one template, is replaced when the token is made */
};

struct secret_spec {
	char *name;
	enum secret_kind kind;
	uint32_t size; /* characters or bytes, for generated ascii and binary */
	enum secret_alphabet alphabet;
	bool has_value;
	struct secret value; /* explicit value: bytes; PEM of keys and certificates */
	bool export_public; /* everybody may read it */
	struct session_ref *exports; /* who may import it */
	size_t export_count;
	bool imported; /* import holds; nothing of what follows does */
	bool kind_known; /* imported: kind is what it must be */
	struct session_ref import;
	/* keys and certificates (5.2) */
	enum key_type key_type; /* private-key */
	bool migrate; /* private-key: kept by an update when both versions say so */
	char *private_key; /* of a public-key, x509, x509-ca: name of a private-key; NULL beside an explicit value */
	char *issuer; /* name of an x509-ca; NULL: self-signed */
	char *certificate_of; /* of 0.2's session-ca: the x509-ca whose certificate this is, without its key */
	char *common_name; /* as written, or NULL */
	enum x509_endpoint endpoint;
	struct x509_name *names; /* san and dns */
	size_t name_count;
	uint64_t valid_for; /* seconds; 0: practically unlimited; of a jwt: validity.for */
	/* jwt */
	char *signer; /* name of a private-key of type P-384 */
	struct jwt_claim *claims; /* sorted by name */
	size_t claim_count;
};

/* May this session of this CAS, with this hash, import it? A namespace holds itself. */
bool secret_is_exported(
	const struct secret_spec *s, const char *session, const uint8_t hash[SESSION_HASH_LEN]);
/* May this session of the CAS with this key? */
bool secret_is_exported_to_cas(const struct secret_spec *s, const uint8_t cas_key[32], const char *session,
	const uint8_t hash[SESSION_HASH_LEN]);
/* The common name that a generated certificate gets: as written, else the first DNS name, else the secret's name, as far as 64 characters go. */
void secret_common_name(const struct secret_spec *s, char ret[X509_COMMON_NAME_MAX + 1]);

/* What a change of a volume means (section 9), and ext 14.6: strict. */
enum update_policy {
	UPDATE_ROLLBACK_PROTECTED,
	UPDATE_EPHEMERAL,
	UPDATE_NO_ROLLBACK_PROTECTION,
	UPDATE_STRICT
};
const char *update_policy_name(enum update_policy p);
/* Does an exporter that says `limit` let an importer have `wanted`? */
bool update_policy_allows(enum update_policy limit, enum update_policy wanted);

#define VOLUME_SPEC_KEY_LEN 32
#define VOLUME_SPEC_TAG_LEN 16

struct volume_export {
	struct session_ref to;
	enum update_policy policy; /* the most that the importer gets */
	char *alias; /* the name that the importer must use; NULL: the volume's own */
};

struct volume_spec {
	char *name;
	bool has_key; /* with has_tag: both or neither */
	char *key_secret; /* the key is this secret, a binary of 32 bytes; NULL: key holds it */
	uint8_t key[VOLUME_SPEC_KEY_LEN];
	uint8_t tag[VOLUME_SPEC_TAG_LEN]; /* of the state that the first use must find */
	bool authenticated_only;
	struct volume_export *exports;
	size_t export_count;
	bool imported; /* import holds; nothing else does */
	struct session_ref import;
};

/* The first export that lets this session, with this hash, import the volume under this name; NULL: none. */
const struct volume_export *volume_export_for(const struct volume_spec *v, const char *name,
	const char *session, const uint8_t hash[SESSION_HASH_LEN]);

struct attest_alternative { /* AND */
	bool open; /* a template in it is not resolved: it matches nothing */
	uint8_t (*mrenclave)[32]; /* any one of them; count 0: no such factor */
	size_t mrenclave_count;
	bool has_signer;
	uint8_t mrsigner[32];
	uint32_t isvprodid, isvsvn_min, isvsvn_max;
	struct machine_rule
		*machine; /* any one of them: whose word on the program counts; count 0: no machine's */
	size_t machine_count;
};

struct attest_platform {
	bool qe_id; /* the first 16 bytes are the id of a quoting enclave; else the key hash of a platform */
	uint8_t id[32];
};

/* Words of security.attestation.tolerate, by bit: 0 debug-mode, 1 hyperthreading, … in the order of attest_tolerance_name. */
#define ATTEST_TOLERANCES 7
const char *attest_tolerance_name(unsigned int bit);

struct session_arg { /* a command word: text (may hold templates), or the host's argument N */
	char *text;
	uint32_t host; /* N of @@N; 0: text */
};

struct session_env {
	char *name;
	char *value; /* may hold templates */
	bool host; /* taken from the host's environment */
};

struct service {
	char *name;
	struct session_arg *argv;
	size_t argc;
	struct session_env *env;
	size_t envc;
	char *pwd; /* never NULL */
	char *image_name; /* or NULL */
	struct attest_alternative *attestation; /* OR */
	size_t attestation_count;
	struct secret otp; /* goes before the session's */
	char *otp_written;
	bool otp_open; /* its template is not resolved: nobody attests */
	char *attestation_written,
		*platforms_written; /* in flow form (graft.h), if there are templates in them */
	bool platforms_open; /* a template of them is not resolved: no platform matches */
	struct attest_platform *platforms; /* any one of them; count 0: any platform */
	size_t platform_count;
	bool allow_unmeasured; /* ext 14.5: map and execute code that is not in the manifest */
	bool allow_generated; /* ext 14.5: make anonymous or writable memory executable */
};

struct injection_file {
	char *path;
	bool has_content;
	char *content; /* text with templates, content_len bytes; NULL: read the host's file */
	size_t content_len;
	uint32_t mode; /* permission bits, default 0700 */
};

struct image_volume {
	char *name; /* of a volume of this session */
	char *path; /* where the program sees it; absolute */
	enum update_policy policy;
	uint64_t cache; /* bytes of the runtime's memory for decrypted blocks; 0: as the runtime likes */
};

/* A sealed tree (docs/sealed-trees.md): has_root or has_signer. */
struct image_tree {
	char *path; /* where the program sees it; absolute */
	char *host; /* the host's directory; NULL: path */
	char *manifest; /* NULL: the host's directory and ".sealed" */
	bool has_root, has_signer;
	uint8_t root[32], signer[32];
};

struct image {
	char *name;
	struct image_volume *volumes;
	size_t volume_count;
	struct image_tree *trees;
	size_t tree_count;
	struct injection_file *files;
	size_t file_count;
	bool has_provide_secrets;
	char **provide_secrets;
	size_t provide_count;
};

struct session {
	char *name;
	char *version;
	bool has_predecessor;
	uint8_t predecessor[SESSION_HASH_LEN];
	bool has_namespace_hash;
	uint8_t namespace_hash[SESSION_HASH_LEN]; /* the parent's at creation */
	bool has_salt;
	uint8_t salt[16];
	char *creator_pem; /* certificate as written in the document, or NULL */
	bool has_creator_signer; /* creator: {signer: …} is written */
	uint8_t creator_signer[32]; /* key hash of it */
	bool creator_signs; /* set by who knows: the session came signed, and its creator is the signer. Else it is a TLS key */
	struct service *services;
	size_t service_count;
	struct secret_spec *secrets;
	size_t secret_count;
	struct volume_spec *volumes;
	size_t volume_count;
	struct image *images;
	size_t image_count;
	char *access_template; /* access_policy as written, if all of it is a template */
	struct access_rule read, update, create_sessions, list_sessions;
	struct board board;
	bool templated; /* there are templates in attestation, platforms or security: see session_parse_bound */
	char *security_written; /* in flow form, if there are templates in it */
	struct secret otp; /* key of one-time passwords; empty: none */
	char *access_token; /* what program and CAS must each prove to know; NULL: nothing */
	bool singleton; /* singleton_enclaves: evidence here always is of a start that was never used before */
	bool security_open; /* a template of it is not resolved: nobody attests */
	enum attest_mode mode;
	uint32_t tolerate; /* bit n: attest_tolerance_name(n) */
	char **ignore_advisories; /* sorted, each once */
	size_t ignore_count;
	bool ignore_all; /* "*": counts for debug and simulated evidence only */
};

/* Parse and validate. 0: *ret is owned by the caller and d may hold warnings. -1: d holds at least one error. */
MUST_USE int session_parse(const char *yaml, size_t n, struct session **ret, struct diag *d);
/* The same, with values for templates in attestation, platforms and security that the document itself does not hold: generated and imported ones.
 * What is not found stays open, and matches nothing. */
MUST_USE int session_parse_bound(
	const char *yaml, size_t n, template_lookup lookup, void *arg, struct session **ret, struct diag *d);
void session_free(struct session *s); /* wipes explicit values */

/* Deterministic hash (section 3.3): SHA-256 over a domain string and the canonical JSON. creator: key hash of the uploader; counts when a rule
 * refers to CREATOR. docs/session-language.md gives the canonical form. */
MUST_USE int session_hash(
	const struct session *s, const uint8_t creator[32], uint8_t ret[SESSION_HASH_LEN], struct error *err);

/* A config-fragment's value (YAML) with the templates in its scalars replaced, in flow form. ERR_INPUT, ERR_NOT_FOUND: one of them cannot be. out: secret
 * buf. */
MUST_USE int fragment_expand(
	const void *p, size_t n, template_lookup lookup, void *arg, struct buf *out, struct error *err);

const struct service *session_service(const struct session *s, const char *name);
const struct image *session_image(const struct session *s, const char *name);
const struct volume_spec *session_volume(const struct session *s, const char *name);
const struct secret_spec *session_secret(const struct session *s, const char *name, size_t len);

/* Does the verdict satisfy mode, tolerate, ignore_advisories, platforms and attestation of the service? 0, or -1 with ERR_ATTEST: check (its name in
 * err->check), value seen, value wanted. */
MUST_USE int attest_rule_check(
	const struct session *s, const struct service *svc, const struct verdict *v, struct error *err);

/* "SESSION/SERVICE[@OTP]" -> parts (owned by the caller; *ret_otp NULL if none). Section 3.7. */
MUST_USE int config_id_parse(
	const char *id, char **ret_session, char **ret_service, char **ret_otp, struct error *err);
/* Segments of section 3.1: 128 characters each, 512 in total; or "/", the root. A colon passes: names of 0.1 have some. */
MUST_USE int session_name_check(const char *name, struct error *err);

/* Client-side variables (section 1.2): replace $NAME and ${NAME}. lookup returns NULL for a missing one. */
MUST_USE int session_substitute(const char *text, size_t n,
	const char *(*lookup)(void *arg, const char *name), void *arg, struct buf *out, struct error *err);

#endif
