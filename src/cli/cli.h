/*
 * cli: what the verbs of `scone` share: one table of options, one of verbs, exit codes, and how an error is told.
 *
 * A verb is a function that takes checked arguments and returns the exit code. Its row in the table gives its operands, the options
 * it takes and its help, so that parsing and help text cannot differ.
 */
#ifndef SCONE_CLI_CLI_H
#define SCONE_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include "core/error.h"
#include "policy/diag.h"

/* Documented in docs/cli.md. `scone run` gives the program's own status, or one of the last three. */
enum exit_code {
	CLI_OK = 0,
	CLI_FAILED = 1, /* a host call failed, a limit, a bug */
	CLI_USAGE = 2, /* unknown verb or option, wrong number of operands, malformed option value */
	CLI_UNREACHABLE = 3, /* no answer from CAS */
	CLI_INPUT = 4, /* a file or document is malformed or refused for its content */
	CLI_NOT_FOUND = 5,
	CLI_CONFLICT = 6, /* exists already, or somebody else was faster */
	CLI_DENIED = 7, /* CAS does not permit it to this identity */
	CLI_UNTRUSTED = 8, /* CAS has no pinned key, or another key than the pinned one */
	CLI_DAMAGED =
		9, /* a volume, sealed tree or audit log is not as its key, root or signature says: changed, older, or another key */
	CLI_RUN_FAILED = 125,
	CLI_RUN_CANNOT_EXECUTE = 126,
	CLI_RUN_NOT_FOUND = 127,
};

enum opt {
	OPT_END = 0, /* ends a verb's list */
	OPT_HELP, /* every verb takes it */
	OPT_JSON,
	OPT_CAS,
	OPT_CAS_KEY,
	OPT_LAS,
	OPT_CONFIG_ID,
	OPT_KEY,
	OPT_TRUST_FIRST,
	OPT_REPLACE,
	OPT_SET, /* may be repeated: args.set */
	OPT_USE_ENV,
	OPT_NO_SUBSTITUTE,
	OPT_NAME,
	OPT_FORCE,
	OPT_HASH,
	OPT_FOR_UPDATE,
	OPT_CREATOR,
	OPT_NEW,
	OPT_CERTIFICATE,
	OPT_RUNTIME,
	OPT_CODE, /* may be repeated: args.code */
	OPT_VERBOSE,
	OPT_VOLUME_KEY_FILE,
	OPT_NEW_KEY_FILE,
	OPT_SIZE,
	OPT_LABEL,
	OPT_LONG,
	OPT_AT_LEAST,
	OPT_SIGN_KEY,
	OPT_SIGNER,
	OPT_ROOT,
	OPT_TYPE,
	OPT_VCEK,
	OPT_CHAIN,
	OPT_COLLATERAL,
	OPT_TRUST_ROOT,
	OPT_AT,
	OPT_REPORT_DATA,
	OPT_NO_CRL,
	OPT_TOLERATE, /* may be repeated: args.tolerate */
	OPT_IGNORE, /* may be repeated: args.ignore */
	OPT_VOLUME, /* may be repeated: args.volume */
	OPT_VOLUME_CACHE,
	OPT_TREE, /* these three may be repeated: args.tree, ... */
	OPT_TREE_ROOT,
	OPT_TREE_MANIFEST,
	OPT_TREE_SIGNER,
	OPT_DIR,
	OPT_PCRS,
	OPT_MEASUREMENT, /* these four may be repeated: args.measurement, ... */
	OPT_LAUNCH,
	OPT_PCR,
	OPT_PLATFORM,
	OPT_TEE,
	OPT_SIMULATION,
	OPT_POLICY,
	OPT_ACCESS_TOKEN_FILE,
	OPT_PIN,
	OPT_SIGNING_KEY,
	OPT_OFFLINE,
	OPT_NETWORK_RULES,
	OPT_LISTENS,
	OPT_CONSOLE_RULES,
	OPT_CONSOLE_KEY_FILE,
	OPT_SECRET,
	OPT_SERVICE,
	OPT_STREAM,
	OPT_COUNT,
};

#define CLI_SET_MAX 256
#define CLI_CODE_MAX 256
#define CLI_TOLERATE_MAX 16
#define CLI_IGNORE_MAX 128
#define CLI_VOLUME_MAX 16

#define CLI_LIST_MAX 64

struct arg_list {
	const char *value[CLI_LIST_MAX];
	size_t count;
};

struct args {
	const struct verb *verb;
	const char *value[OPT_COUNT]; /* checked; "" for an option without argument; NULL: not given */
	const char *set[CLI_SET_MAX]; /* NAME=VALUE, checked */
	size_t set_count;
	const char *code[CLI_CODE_MAX]; /* paths */
	size_t code_count;
	const char *tolerate[CLI_TOLERATE_MAX];
	size_t tolerate_count;
	const char *ignore[CLI_IGNORE_MAX]; /* advisories */
	size_t ignore_count;
	const char *volume[CLI_VOLUME_MAX]; /* HOSTDIR:/MOUNT */
	size_t volume_count;
	struct arg_list tree, tree_root, tree_manifest; /* DIR[:/MOUNT], HEX, FILE */
	struct arg_list measurement, launch, pcr, platform; /* what CAS's evidence must say */
	char **operands; /* NULL-terminated */
	int count;
};

struct verb {
	const char *name; /* "identity" or "session create" */
	const char *operands; /* as in the usage line */
	int min, max; /* number of operands; max -1: any */
	bool stop; /* options end at the first operand */
	const enum opt *options;
	const char *summary; /* one line */
	const char *details; /* whole lines, or NULL */
	int (*main)(const struct args *a);
};

int verb_cas_add(const struct args *a);
int verb_cas_attest(const struct args *a);
int verb_cas_list(const struct args *a);
int verb_cas_default(const struct args *a);
int verb_session_create(const struct args *a);
int verb_session_update(const struct args *a);
int verb_session_verify(const struct args *a);
int verb_session_hash(const struct args *a);
int verb_session_read(const struct args *a);
int verb_session_list(const struct args *a);
int verb_session_delete(const struct args *a);
int verb_session_sign(const struct args *a);
int verb_session_add_signature(const struct args *a);
int verb_proposal_list(const struct args *a);
int verb_proposal_show(const struct args *a);
int verb_proposal_approve(const struct args *a);
int verb_proposal_reject(const struct args *a);
int verb_proposal_withdraw(const struct args *a);
int verb_proposal_vote(const struct args *a);
int verb_proposal_ask(const struct args *a);
int verb_identity(const struct args *a);
int verb_measure(const struct args *a);
int verb_net_explain(const struct args *a);
int verb_console_attach(const struct args *a);
int verb_console_decrypt(const struct args *a);
int verb_console_encrypt(const struct args *a);
int verb_evidence_show(const struct args *a);
int verb_evidence_verify(const struct args *a);
int verb_tee_probe(const struct args *a);
int verb_tpm_show(const struct args *a);
int verb_tpm_pin(const struct args *a);
int verb_tpm_enrol(const struct args *a);
int verb_tpm_list(const struct args *a);
int verb_tpm_remove(const struct args *a);
int verb_collateral_import(const struct args *a);
int verb_audit_show(const struct args *a);
int verb_audit_verify(const struct args *a);
int verb_run(const struct args *a);
int verb_volume_create(const struct args *a);
int verb_volume_info(const struct args *a);
int verb_volume_ls(const struct args *a);
int verb_volume_get(const struct args *a);
int verb_volume_put(const struct args *a);
int verb_volume_verify(const struct args *a);
int verb_volume_resize(const struct args *a);
int verb_volume_encrypt(const struct args *a);
int verb_volume_decrypt(const struct args *a);
int verb_volume_rekey(const struct args *a);
int verb_volume_backup(const struct args *a);
int verb_volume_seal(const struct args *a);
int verb_volume_check(const struct args *a);

/* args: fill *a for verb v from argv (argv[0] is the verb's last word). 0; or the exit code after help or a usage error was printed in
 * *ret_code and -1. */
MUST_USE int args_parse(struct args *a, const struct verb *v, int argc, char **argv, int *ret_code);
void verb_help(const struct verb *v);

/* The exit code that stands for an error. A host call that failed counts as local here; remote.h knows about CAS. */
int cli_exit_code(const struct error *err);
/* Print the error ("scone: error: TEXT" on stderr; with --json also {"error":{…}} on stdout) and return code. details may be NULL. */
int cli_fail(const struct args *a, int code, const struct error *err, const json_t *details);
void cli_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Print with two spaces of indent and a final newline, and release. CLI_OK, or CLI_FAILED if standard output cannot be written. */
int cli_print_json(json_t *j);
/* Flush standard output: CLI_OK, or CLI_FAILED with a message. */
int cli_done(void);
/* Text from the network, safe for a terminal: control characters become '?'. Fresh storage, to be freed; NULL only without memory. */
char *cli_clean(const char *text);

#endif
