/* args: one table of options for every verb; see cli.h. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"
#include "core/encode.h"
#include "crypto/key.h"
#include "policy/session.h"

struct option_row {
	const char *name;
	char letter; /* 0: none */
	const char *metavar; /* NULL: takes no argument */
	const char *help;
};

static const struct option_row option_rows[OPT_COUNT] = {
	[OPT_HELP] = {"help", 'h', NULL, "print this text"},
	[OPT_JSON] = {"json", 0, NULL, "print one JSON object"},
	[OPT_CAS] = {"cas", 0, "CAS",
		"name from `scone cas list`, or HOST[:PORT] (SCONE_CAS_ADDR, else the default)"},
	[OPT_CAS_KEY] = {"cas-key", 0, "KEYHASH", "the key CAS must hold, instead of the pinned one"},
	[OPT_LAS] = {"las", 0, "SOCKET", "path of the local attestation service's socket (SCONE_LAS_ADDR)"},
	[OPT_CONFIG_ID] = {"config-id", 0, "SESSION/SERVICE", "attest as this service (SCONE_CONFIG_ID)"},
	[OPT_KEY] = {"key", 0, "KEYHASH", "the key CAS must hold"},
	[OPT_TRUST_FIRST] = {"trust-first", 0, NULL, "pin whatever key CAS shows now"},
	[OPT_REPLACE] = {"replace", 0, NULL, "replace an entry of this name"},
	[OPT_SET] = {"set", 0, "NAME=VALUE", "value of $NAME and ${NAME} in the file; may be repeated"},
	[OPT_USE_ENV] = {"use-env", 0, NULL, "take variables that --set does not give from the environment"},
	[OPT_NO_SUBSTITUTE] = {"no-substitute", 0, NULL, "leave $NAME and ${NAME} in the file alone"},
	[OPT_NAME] = {"name", 0, "NAME", "session name, instead of the one in the file"},
	[OPT_FORCE] = {"force", 0, NULL, "replace a version that was not seen here before"},
	[OPT_HASH] = {"hash", 0, "HEX", "the version with this hash, instead of the current one"},
	[OPT_FOR_UPDATE] = {"for-update", 0, NULL,
		"with this version's hash as predecessor: edit it, then update"},
	[OPT_CREATOR] = {"creator", 0, "KEYHASH",
		"compute the hash as for this uploader (default: this identity)"},
	[OPT_NEW] = {"new", 0, NULL, "make a new identity; refused if there is one"},
	[OPT_CERTIFICATE] = {"certificate", 0, NULL, "print the certificate (PEM)"},
	[OPT_RUNTIME] = {"runtime", 0, "FILE",
		"the runtime's image (SCONE_RUNTIME, else scone-runtime beside scone)"},
	[OPT_CODE] = {"code", 0, "FILE", "measure this plugin, program or script too; may be repeated"},
	[OPT_VOLUME_KEY_FILE] = {"volume-key-file", 0, "FILE",
		"the volume's key: 64 hex digits or 32 bytes, readable by its owner only"},
	[OPT_NEW_KEY_FILE] = {"new-key-file", 0, "FILE", "the new key; made if it is not there"},
	[OPT_SIZE] = {"size", 0, "BYTES",
		"most bytes of the host it may take; K, M, G, T for powers of 1024"},
	[OPT_LABEL] = {"label", 0, "TEXT", "a name for people; encrypted"},
	[OPT_LONG] = {"long", 'l', NULL, "mode, links, owner, group, size and time too"},
	[OPT_AT_LEAST] = {"at-least", 0, "GENERATION:TAG", "refuse an older version than this one"},
	[OPT_SIGN_KEY] = {"sign-key", 0, "FILE", "private key in PEM, instead of this user's identity"},
	[OPT_SIGNER] = {"signer", 0, "KEYHASH", "the key whose signature counts"},
	[OPT_ROOT] = {"root", 0, "HEX", "the root digest the tree must have"},
	[OPT_TYPE] = {"type", 0, "TYPE", "take it for sim, tpm, sev-snp, tdx, sgx or nitro evidence"},
	[OPT_VCEK] = {"vcek", 0, "FILE", "certificate of the key that signed a SEV-SNP report"},
	[OPT_CHAIN] = {"chain", 0, "FILE", "certificates that the evidence does not carry itself"},
	[OPT_COLLATERAL] = {"collateral", 0, "FILE|DIR",
		"collateral (default: the directory collateral in SCONE_HOME)"},
	[OPT_TRUST_ROOT] = {"root", 0, "FILE",
		"trust this certificate's (or public) key, not the maker's root"},
	[OPT_AT] = {"at", 0, "TIME", "judge as of this time: 2025-06-20T10:00:00Z, or seconds since 1970"},
	[OPT_REPORT_DATA] = {"report-data", 0, "HEX",
		"the report data wanted; filled with zeros to 64 bytes"},
	[OPT_NO_CRL] = {"no-crl", 0, NULL,
		"go on where there is no revocation list at all; one that is there counts"},
	[OPT_TOLERATE] = {"tolerate", 0, "WORD",
		"debug-mode, software-hardening-needed, insecure-configuration, outdated-tcb; may be "
		"repeated"},
	[OPT_IGNORE] = {"ignore-advisory", 0, "NAME",
		"an advisory that is no obstacle, or '*'; may be repeated"},
	[OPT_NETWORK_RULES] = {"network-rules", 0, "FILE",
		"variables of the network shield, one a line (docs/network-shield.md)"},
	[OPT_CONSOLE_RULES] = {"console-rules", 0, "FILE",
		"variables of the console shield, one a line (docs/console-shield.md)"},
	[OPT_CONSOLE_KEY_FILE] = {"key-file", 0, "FILE",
		"the stream's key: 64 hex digits or 32 bytes, readable by its owner only"},
	[OPT_SECRET] = {"secret", 0, "SESSION/NAME",
		"the stream's key: a binary secret with its value in a session that this user may read"},
	[OPT_SERVICE] = {"service", 0, "SESSION/SERVICE", "whose stream it has to be, or is to be"},
	[OPT_STREAM] = {"stream", 0, "NAME",
		"which stream it has to be, or is to be: stdin, stdout, stderr, fd3 …"},
	[OPT_LISTENS] = {"listens", 0, NULL, "the program listens there; else it connects"},
	[OPT_VOLUME] = {"volume", 0, "HOSTDIR:/MOUNT",
		"an encrypted volume for the program at /MOUNT, made if HOSTDIR is empty; may be repeated"},
	[OPT_VOLUME_CACHE] = {"volume-cache", 0, "BYTES",
		"memory for decrypted blocks of each volume (256M); K, M, G for powers of 1024"},
	[OPT_TREE] = {"tree", 0, "DIR[:/MOUNT]",
		"a sealed tree for the program, at /MOUNT or in its own place; may be repeated"},
	[OPT_TREE_ROOT] = {"tree-root", 0, "HEX", "root digest the tree must have; once for each --tree"},
	[OPT_TREE_MANIFEST] = {"tree-manifest", 0, "FILE",
		"the tree's manifest, instead of DIR.sealed; once for each --tree"},
	[OPT_TREE_SIGNER] = {"tree-signer", 0, "KEYHASH", "key whose signature the trees must have"},
	[OPT_MEASUREMENT] = {"measurement", 0, "HEX",
		"CAS's measurement (scone measure --runtime scone-cas scone-cas); may be repeated"},
	[OPT_LAUNCH] = {"launch", 0, "HEX", "how CAS's machine was started; may be repeated"},
	[OPT_PCR] = {"pcr", 0, "N=HEX", "value of a PCR of CAS's machine; may be repeated"},
	[OPT_PLATFORM] = {"platform", 0, "KEY",
		"key hash of CAS's platform; of a TPM the attestation key; may be repeated"},
	[OPT_TEE] = {"tee", 0, "TYPE", "CAS must run on tpm, sev-snp, tdx, sgx, nitro, or sim"},
	[OPT_SIMULATION] = {"simulation", 0, NULL, "a simulated TEE will do, which protects nothing"},
	[OPT_POLICY] = {"policy", 0, "FILE", "what is wanted of CAS's evidence, as JSON (docs/evidence.md)"},
	[OPT_ACCESS_TOKEN_FILE] = {"access-token-file", 0, "FILE",
		"prove to know the session's service_access_token, and let CAS prove it"},
	[OPT_PIN] = {"pin", 0, "NAME", "if it is good, pin the key under this name"},
	[OPT_DIR] = {"dir", 0, "DIR", "state directory of LAS (default /var/lib/openscone/las)"},
	[OPT_PCRS] = {"pcrs", 0, "LIST",
		"PCRs of the SHA-256 bank that are held, 0,2,4,7 for example (default none)"},
	[OPT_SIGNING_KEY] = {"key", 0, "FILE",
		"private key in PEM, Ed25519 or P-384, of a signer or a member of a board"},
	[OPT_OFFLINE] = {"offline", 0, NULL,
		"FILE is a proposal as `scone proposal show --json` prints it; print the vote"},
	[OPT_VERBOSE] = {"verbose", 'v', NULL, "print the closure: role, digest, path"},
};

void verb_help(const struct verb *v)
{
	const struct option_row *o;
	const enum opt *p;
	char left[64];

	printf("usage: scone %s [OPTION…]%s%s\n\n%s\n", v->name, *v->operands ? " " : "", v->operands,
		v->summary);
	if (v->details)
		printf("\n%s", v->details);
	printf("\noptions:\n");
	for (p = v->options;; p++) {
		o = &option_rows[*p == OPT_END ? OPT_HELP : *p];
		(void)snprintf(left, sizeof(left), "%s%c%s--%s%s%s", o->letter ? "-" : "",
			o->letter ? o->letter : ' ', o->letter ? ", " : "   ", o->name, o->metavar ? " " : "",
			o->metavar ? o->metavar : "");
		printf("  %-34s %s\n", left, o->help);
		if (*p == OPT_END)
			break;
	}
	printf("\nexit codes: %s\n",
		v->stop ? "the program's own; 125 scone failed, 126 PROGRAM cannot be executed, 127 not found"
			: "0 done, 1 failed, 2 usage, 3 CAS not reachable, 4 bad input, 5 not found,\n"
			  "            6 conflict, 7 not permitted, 8 CAS or evidence not trusted, 9 damaged "
			  "or changed");
}

static int usage_code(const struct verb *v)
{
	return v->stop ? CLI_RUN_FAILED : CLI_USAGE;
}

/* getopt's tables for the options of v. */
static void tables(const struct verb *v, struct option longs[OPT_COUNT + 1], char letters[OPT_COUNT + 3])
{
	const enum opt *p;
	size_t n = 0, k = 0;

	if (v->stop)
		letters[k++] = '+';
	for (p = v->options;; p++) {
		enum opt o = *p == OPT_END ? OPT_HELP : *p;

		longs[n++] = (struct option){option_rows[o].name,
			option_rows[o].metavar ? required_argument : no_argument, NULL, 0x100 + (int)o};
		if (option_rows[o].letter)
			letters[k++] = option_rows[o].letter;
		if (*p == OPT_END)
			break;
	}
	longs[n] = (struct option){0};
	letters[k] = '\0';
}

static enum opt by_letter(int c)
{
	for (int i = 1; i < OPT_COUNT; i++)
		if (option_rows[i].letter == c)
			return (enum opt)i;
	return OPT_END;
}

/* NAME=VALUE with a name that $NAME can spell. */
static bool assignment_ok(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

	return n > 0 && s[n] == '=' && !(s[0] >= '0' && s[0] <= '9');
}

/* Options whose form can be judged without anything else. */
static int check_value(enum opt o, const char *arg, struct error *err)
{
	uint8_t bytes[32];

	switch (o) {
	case OPT_KEY:
	case OPT_CAS_KEY:
	case OPT_CREATOR:
	case OPT_SIGNER:
	case OPT_TREE_SIGNER:
		return key_hash_parse(arg, strlen(arg), bytes, err);
	case OPT_HASH:
	case OPT_ROOT:
	case OPT_TREE_ROOT:
		return hex_decode(arg, strlen(arg), bytes, sizeof(bytes))
			       ? error_set(err, ERR_INPUT, "%zu hex digits are wanted", 2 * sizeof(bytes))
			       : 0;
	case OPT_NAME:
		return session_name_check(arg, err);
	default:
		return 0;
	}
}

/* One more value of an option that may be repeated. */
static bool append(
	const struct args *a, enum opt o, const char *arg, const char **list, size_t *count, size_t max)
{
	if (*count == max) {
		fprintf(stderr, "scone %s: more than %zu --%s\n", a->verb->name, max, option_rows[o].name);
		return false;
	}
	list[(*count)++] = arg;
	return true;
}

static struct arg_list *list_of(struct args *a, enum opt o)
{
	switch (o) {
	case OPT_TREE:
		return &a->tree;
	case OPT_TREE_ROOT:
		return &a->tree_root;
	case OPT_TREE_MANIFEST:
		return &a->tree_manifest;
	case OPT_MEASUREMENT:
		return &a->measurement;
	case OPT_LAUNCH:
		return &a->launch;
	case OPT_PCR:
		return &a->pcr;
	case OPT_PLATFORM:
		return &a->platform;
	default:
		return NULL;
	}
}

static bool take(struct args *a, enum opt o, const char *arg)
{
	struct error err;

	if (arg && check_value(o, arg, &err)) {
		fprintf(stderr, "scone %s: --%s %s: %s\n", a->verb->name, option_rows[o].name, arg, err.text);
		return false;
	}
	if (o == OPT_SET) {
		if (!assignment_ok(arg)) {
			fprintf(stderr,
				"scone %s: --set %s: NAME=VALUE is wanted, NAME of letters, digits and _\n",
				a->verb->name, arg);
			return false;
		}
		return append(a, o, arg, a->set, &a->set_count, CLI_SET_MAX);
	}
	if (o == OPT_CODE)
		return append(a, o, arg, a->code, &a->code_count, CLI_CODE_MAX);
	if (o == OPT_VOLUME)
		return append(a, o, arg, a->volume, &a->volume_count, CLI_VOLUME_MAX);
	if (list_of(a, o))
		return append(a, o, arg, list_of(a, o)->value, &list_of(a, o)->count, CLI_LIST_MAX);
	if (o == OPT_TOLERATE)
		return append(a, o, arg, a->tolerate, &a->tolerate_count, CLI_TOLERATE_MAX);
	if (o == OPT_IGNORE)
		return append(a, o, arg, a->ignore, &a->ignore_count, CLI_IGNORE_MAX);
	if (a->value[o] && option_rows[o].metavar) {
		fprintf(stderr, "scone %s: --%s is given twice\n", a->verb->name, option_rows[o].name);
		return false;
	}
	a->value[o] = arg ? arg : "";
	return true;
}

int args_parse(struct args *a, const struct verb *v, int argc, char **argv, int *ret_code)
{
	struct option longs[OPT_COUNT + 1];
	char letters[OPT_COUNT + 3], self[64];
	int c;

	memset(a, 0, sizeof(*a));
	a->verb = v;
	tables(v, longs, letters);
	(void)snprintf(self, sizeof(self), "scone %s", v->name);
	argv[0] = self; /* getopt names it in its messages */
	optind = 0;
	*ret_code = usage_code(v);
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		enum opt o = c >= 0x100 ? (enum opt)(c - 0x100) : by_letter(c);

		if (c == '?' || o == OPT_END) {
			fprintf(stderr, "Try 'scone %s --help'.\n", v->name);
			return -1;
		}
		if (o == OPT_HELP) {
			verb_help(v);
			*ret_code = cli_done();
			return -1;
		}
		if (!take(a, o, optarg))
			return -1;
	}
	a->operands = argv + optind;
	a->count = argc - optind;
	if (a->count < v->min || (v->max >= 0 && a->count > v->max)) {
		fprintf(stderr, "scone %s: %d operands, wanted %s\nTry 'scone %s --help'.\n", v->name,
			a->count, *v->operands ? v->operands : "none", v->name);
		return -1;
	}
	return 0;
}
