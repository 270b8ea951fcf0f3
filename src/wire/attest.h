/*
 * attest: messages between runtime, LAS and CAS while a program starts. Codecs only, no I/O. See docs/protocols.md.
 *
 * LAS speaks frames over a Unix stream socket: u32be length (at most LAS_FRAME_MAX), then a JSON object.
 * CAS speaks HTTP; the JSON bodies are these.
 */
#ifndef SCONE_WIRE_ATTEST_H
#define SCONE_WIRE_ATTEST_H

#include <stdbool.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"
#include "evidence/verdict.h"
#include "measure/measure.h"
#include "wire/volume_message.h"

#define LAS_FRAME_MAX (1024 * 1024)
#define LAS_CHALLENGE_LEN 32
#define ATTEST_NONCE_LEN 32
#define ATTEST_REQUEST_MAX (1024 * 1024) /* bytes of a JSON request */
#define CONFIG_ID_MAX 1024 /* bytes of SESSION/SERVICE[@OTP] */
#define CONFIG_LIST_MAX 65536 /* elements of each list of a configuration */
#define CONFIG_MAX (16 * 1024 * 1024) /* bytes of a configuration's JSON; of each value in it */

/* Every decoder refuses unknown, missing and duplicate keys and wrong types (ERR_INPUT), and sizes over the limits (ERR_LIMIT).
 * Encoders append to out; `struct buf *ret_…` is appended to, too, and must be initialised. */

/* report data = SHA-256("openscone-attest-v1" NUL, nonce, client key hash, CAS key hash), then 32 zero bytes. The hashes are
 * key_hash (crypto/key.h) of the two keys of the TLS connection, so evidence cannot be moved to another connection or CAS. */
void attest_report_data(const uint8_t nonce[ATTEST_NONCE_LEN], const uint8_t client_key[32],
	const uint8_t cas_key[32], uint8_t ret[64]);

/* Proof that a side of the connection that report_data names knows the service's access token (session language 11): HMAC-SHA-256 under the token over
 * "openscone-access-v1" NUL, one byte 1 (the program's proof) or 2 (CAS's), report data. */
#define ACCESS_PROOF_LEN 32
#define ACCESS_TOKEN_MAX 1024 /* bytes */
enum access_side { ACCESS_OF_PROGRAM = 1, ACCESS_OF_CAS = 2 };
void attest_access_proof(const void *token, size_t n, enum access_side side, const uint8_t report_data[64],
	uint8_t ret[ACCESS_PROOF_LEN]);

/* LAS speaks first: {"challenge":HEX64}, new for each connection, or an error (as an answer). Decoding an error gives it as *err. */
MUST_USE int las_challenge_encode(
	const uint8_t challenge[LAS_CHALLENGE_LEN], struct buf *out, struct error *err);
MUST_USE int las_challenge_decode(const void *p, size_t n, uint8_t ret[LAS_CHALLENGE_LEN], struct error *err);
/* What the CAS that is to judge wants of the machine's evidence. Zeros: nothing in particular. */
struct platform_wish {
	uint8_t cas[32]; /* its key hash */
	uint8_t nonce
		[PLATFORM_NONCE_LEN]; /* its platform nonce: what new evidence of the machine is to be made over */
	bool fresh; /* evidence of the machine that was made before this request will not do */
};
/* LAS request: {"op":"evidence","challenge":HEX64,"report_data":HEX128,"manifest":[{"role":N,"path":"…","digest":HEX64}…],
 * "platform":{"cas":HEX64,"nonce":HEX64,"fresh":BOOL}}; "platform" may be absent: wish NULL; decoded as zeros. */
MUST_USE int las_request_encode(const uint8_t challenge[LAS_CHALLENGE_LEN], const uint8_t report_data[64],
	const struct manifest *m, const struct platform_wish *wish, struct buf *out, struct error *err);
/* ret_wish may be NULL. */
MUST_USE int las_request_decode(const void *p, size_t n, uint8_t ret_challenge[LAS_CHALLENGE_LEN],
	uint8_t ret_report_data[64], struct manifest *ret, struct platform_wish *ret_wish, struct error *err);
/* LAS answer: {"evidence":BASE64} or {"error":{"code":"…","text":"…"}}; decoding an error answer gives it as *err. */
MUST_USE int las_answer_encode(const void *evidence, size_t n, struct buf *out, struct error *err);
MUST_USE int las_answer_encode_error(const struct error *e, struct buf *out);
MUST_USE int las_answer_decode(const void *p, size_t n, struct buf *ret_evidence, struct error *err);

/* POST /v1/attest request: {"config_id":"SESSION/SERVICE[@OTP]","nonce":HEX64,"evidence":BASE64}, and "access_proof":HEX64 where the program has a token */
struct attest_request {
	char *config_id;
	uint8_t nonce[ATTEST_NONCE_LEN];
	struct buf evidence;
	bool has_access_proof;
	uint8_t access_proof[ACCESS_PROOF_LEN];
};
MUST_USE int attest_request_encode(const struct attest_request *r, struct buf *out, struct error *err);
MUST_USE int attest_request_decode(const void *p, size_t n, struct attest_request *ret, struct error *err);
void attest_request_free(struct attest_request *r);

/* The answer: a service's configuration. Every byte string travels as base64. All of it is secret.
 * {"session":"…","service":"…","mode":"simulation|hardware|none","pwd":"…"|null,
 *  "argv":[{"value":B64}|{"host":N}…], "env":[{"name":"…","value":B64}|{"name":"…","host":true}…],
 *  "files":[{"path":"…","content":B64|null,"mode":N}…],   content null: read the host's file and replace its templates
 *  "secrets":[{"name":"…","kind":"ascii|binary|private-key|public-key|x509|x509-ca|pgp-key|jwt","value":B64}…],  those that files may use
 *  "volumes":[{"name":"…","path":"…","policy":"rollback_protected|ephemeral|no_rollback_protection|strict","id":HEX32,"key":B64,"grant":B64,
 *    "version":{"generation":N,"tag":HEX32}|null,"initial_tag":HEX32|null}…],
 *    with "cache":N, bytes, where the session says so
 *  "trees":[{"path":"…","host":"…","manifest":"…","root":HEX64|null,"signer":HEX64|null}…],   absent: none
 *  "code":{"unmeasured":BOOL,"generated":BOOL},
 *  "warnings":["…"], "access_proof":HEX64 where the session has a token} */
struct config_value {
	struct buf value; /* secret buf */
	uint32_t host; /* argv: N of @@N, env: 1; 0: value holds */
	char *name; /* env only */
};
struct config_file {
	char *path;
	bool has_content;
	struct buf content; /* secret buf */
	uint32_t mode; /* permission bits */
};
struct config_secret {
	char *name;
	char *kind;
	struct buf value; /* secret buf */
};
#define CONFIG_VOLUME_KEY_LEN 32
#define CONFIG_VOLUME_ID_LEN 16
struct config_volume {
	char *name, *path; /* of the session's volume; where the program sees it */
	char *policy; /* a word of section 9 of the session language, or strict */
	uint8_t id[CONFIG_VOLUME_ID_LEN]; /* names it in CAS's audit log */
	struct buf key; /* secret buf: the volume's key */
	struct buf grant; /* for volume_client.h */
	bool has_version; /* what CAS remembered when it answered; volume_client_open tells what it remembers then */
	struct volume_state version;
	bool has_initial;
	uint8_t initial[VOLUME_STATE_TAG_LEN];
	uint64_t cache; /* bytes; 0: as the runtime likes */
};
/* A sealed tree: at least one of root and signer. */
struct config_tree {
	char *path, *host, *manifest; /* where the program sees it; on the host */
	bool has_root, has_signer;
	uint8_t root[32], signer[32];
};
struct service_config {
	char *session, *service, *mode, *pwd; /* pwd may be NULL */
	struct config_value *argv;
	size_t argc;
	struct config_value *env;
	size_t envc;
	struct config_file *files;
	size_t file_count;
	struct config_secret *secrets;
	size_t secret_count;
	struct config_volume *volumes;
	size_t volume_count;
	struct config_tree *trees;
	size_t tree_count;
	bool allow_unmeasured; /* code outside the manifest may be mapped and executed */
	bool allow_generated; /* anonymous or writable memory may become executable */
	char **warnings;
	size_t warning_count;
	bool has_access_proof;
	uint8_t access_proof[ACCESS_PROOF_LEN]; /* CAS's */
};
void service_config_init(struct service_config *c);
void service_config_free(struct service_config *c); /* wipes */
/* Append one zeroed element (bufs initialised as secret) and return it; NULL: no memory or CONFIG_LIST_MAX reached. Valid until the next
 * one is added to the same list. */
struct config_value *service_config_add_arg(struct service_config *c);
struct config_value *service_config_add_env(struct service_config *c, const char *name);
struct config_file *service_config_add_file(struct service_config *c, const char *path);
struct config_secret *service_config_add_secret(struct service_config *c, const char *name, const char *kind);
/* The caller fills the rest; policy is to be malloc'ed. */
struct config_volume *service_config_add_volume(struct service_config *c, const char *name, const char *path);
struct config_tree *service_config_add_tree(
	struct service_config *c, const char *path, const char *host, const char *manifest);
MUST_USE int service_config_add_warning(struct service_config *c, const char *text);
/* Both directions refuse what a program cannot be started with: a NUL in an argument or variable, a variable without a proper name, a
 * relative path, a mode over 07777, another word for mode, kind or policy than those above, a key of another length (ERR_INPUT). */
MUST_USE int service_config_encode(
	const struct service_config *c, struct buf *out, struct error *err); /* out: secret buf */
MUST_USE int service_config_decode(const void *p, size_t n, struct service_config *ret, struct error *err);

#endif
