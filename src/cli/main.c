/* scone: the command line. A table of verbs, one file each; see docs/cli.md. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"
#include "core/log.h"

#define REMOTE_OPTIONS OPT_CAS, OPT_CAS_KEY, OPT_JSON
#define DOCUMENT_OPTIONS OPT_SET, OPT_USE_ENV, OPT_NO_SUBSTITUTE, OPT_NAME

static const enum opt o_json[] = {OPT_JSON, OPT_END};
static const enum opt o_cas_add[] = {OPT_KEY, OPT_TRUST_FIRST, OPT_REPLACE, OPT_JSON, OPT_END};
static const enum opt o_cas_attest[] = {OPT_KEY, OPT_MEASUREMENT, OPT_TEE, OPT_LAUNCH, OPT_PCR, OPT_PLATFORM,
	OPT_TOLERATE, OPT_IGNORE, OPT_TRUST_ROOT, OPT_COLLATERAL, OPT_SIMULATION, OPT_POLICY, OPT_PIN,
	OPT_REPLACE, OPT_JSON, OPT_END};
static const enum opt o_create[] = {DOCUMENT_OPTIONS, REMOTE_OPTIONS, OPT_END};
static const enum opt o_update[] = {DOCUMENT_OPTIONS, OPT_FORCE, REMOTE_OPTIONS, OPT_END};
static const enum opt o_verify[] = {DOCUMENT_OPTIONS, OPT_CREATOR, OPT_JSON, OPT_END};
static const enum opt o_read[] = {OPT_HASH, OPT_FOR_UPDATE, REMOTE_OPTIONS, OPT_END};
static const enum opt o_remote[] = {REMOTE_OPTIONS, OPT_END};
static const enum opt o_sign[] = {OPT_SIGNING_KEY, DOCUMENT_OPTIONS, OPT_JSON, OPT_END};
static const enum opt o_add_signature[] = {OPT_SIGNING_KEY, OPT_JSON, OPT_END};
static const enum opt o_proposal[] = {OPT_SIGNING_KEY, REMOTE_OPTIONS, OPT_END};
static const enum opt o_vote[] = {OPT_SIGNING_KEY, OPT_OFFLINE, OPT_HASH, REMOTE_OPTIONS, OPT_END};
static const enum opt o_identity[] = {OPT_NEW, OPT_CERTIFICATE, OPT_JSON, OPT_END};
static const enum opt o_measure[] = {OPT_CODE, OPT_VERBOSE, OPT_RUNTIME, OPT_JSON, OPT_END};
static const enum opt o_audit_show[] = {OPT_CAS_KEY, OPT_NAME, OPT_HASH, OPT_JSON, OPT_END};
static const enum opt o_audit[] = {OPT_CAS_KEY, OPT_JSON, OPT_END};
static const enum opt o_run[] = {OPT_CONFIG_ID, OPT_CODE, OPT_CAS, OPT_CAS_KEY, OPT_POLICY,
	OPT_ACCESS_TOKEN_FILE, OPT_LAS, OPT_VOLUME, OPT_VOLUME_KEY_FILE, OPT_SIZE, OPT_VOLUME_CACHE, OPT_TREE,
	OPT_TREE_SIGNER, OPT_TREE_ROOT, OPT_TREE_MANIFEST, OPT_NETWORK_RULES, OPT_CONSOLE_RULES, OPT_END};
static const enum opt o_console[] = {
	OPT_CONSOLE_KEY_FILE, OPT_SECRET, OPT_SERVICE, OPT_STREAM, OPT_CAS, OPT_CAS_KEY, OPT_END};
static const enum opt o_attach[] = {
	OPT_CONSOLE_KEY_FILE, OPT_SECRET, OPT_SERVICE, OPT_CAS, OPT_CAS_KEY, OPT_END};
static const enum opt o_net[] = {
	OPT_CONFIG_ID, OPT_NETWORK_RULES, OPT_LISTENS, OPT_CAS, OPT_CAS_KEY, OPT_END};

#define EVIDENCE_OPTIONS                                                                                     \
	OPT_TYPE, OPT_VCEK, OPT_CHAIN, OPT_COLLATERAL, OPT_TRUST_ROOT, OPT_AT, OPT_REPORT_DATA, OPT_NO_CRL
static const enum opt o_evidence[] = {EVIDENCE_OPTIONS, OPT_TOLERATE, OPT_IGNORE, OPT_JSON, OPT_END};
static const enum opt o_show[] = {OPT_TYPE, OPT_JSON, OPT_END};
static const enum opt o_collateral[] = {OPT_COLLATERAL, OPT_TRUST_ROOT, OPT_AT, OPT_JSON, OPT_END};

static const enum opt o_tpm_show[] = {OPT_DIR, OPT_JSON, OPT_END};
static const enum opt o_tpm_enrol[] = {OPT_DIR, OPT_PCRS, REMOTE_OPTIONS, OPT_END};
static const enum opt o_tpm_pin[] = {OPT_PCRS, REMOTE_OPTIONS, OPT_END};

static const enum opt o_volume[] = {OPT_VOLUME_KEY_FILE, OPT_AT_LEAST, OPT_JSON, OPT_END};
static const enum opt o_volume_create[] = {
	OPT_VOLUME_KEY_FILE, OPT_SIZE, OPT_LABEL, OPT_FORCE, OPT_JSON, OPT_END};
static const enum opt o_volume_ls[] = {OPT_VOLUME_KEY_FILE, OPT_LONG, OPT_AT_LEAST, OPT_JSON, OPT_END};
static const enum opt o_volume_put[] = {OPT_VOLUME_KEY_FILE, OPT_FORCE, OPT_AT_LEAST, OPT_JSON, OPT_END};
static const enum opt o_volume_resize[] = {OPT_VOLUME_KEY_FILE, OPT_SIZE, OPT_JSON, OPT_END};
static const enum opt o_volume_encrypt[] = {OPT_VOLUME_KEY_FILE, OPT_SIZE, OPT_LABEL, OPT_JSON, OPT_END};
static const enum opt o_volume_rekey[] = {OPT_VOLUME_KEY_FILE, OPT_NEW_KEY_FILE, OPT_JSON, OPT_END};
static const enum opt o_seal[] = {OPT_SIGN_KEY, OPT_JSON, OPT_END};
static const enum opt o_check[] = {OPT_SIGNER, OPT_ROOT, OPT_JSON, OPT_END};

static const struct verb verbs[] = {
	{"cas add", "NAME HOST[:PORT]", 2, 2, false, o_cas_add, "Add a CAS and pin its key.",
		"With --key the key is pinned without a connection. Without it CAS is asked for its key, "
		"which is shown, and pinned\n"
		"only with --trust-first. The first CAS added becomes the default.\n",
		verb_cas_add},
	{"cas attest", "[NAME|HOST[:PORT]]", 0, 1, false, o_cas_attest,
		"Check that a CAS holds its pinned key, or what it is by its evidence.",
		"The TLS handshake proves possession of the key. Prints what CAS says about itself; warns if "
		"it is simulated.\n"
		"With --measurement or --policy CAS must prove by evidence of its TEE, about the key of this "
		"very connection, that it is\n"
		"this code on such a platform; --pin then pins its key (docs/evidence.md).\n",
		verb_cas_attest},
	{"cas list", "", 0, 0, false, o_json,
		"List the CAS that are known: default mark, name, address, key.", NULL, verb_cas_list},
	{"cas default", "[NAME]", 0, 1, false, o_json, "Set or print the default CAS.", NULL,
		verb_cas_default},
	{"session create", "FILE|-", 1, 1, false, o_create, "Create a session; prints its name and hash.",
		"$NAME and ${NAME} in values of the file are replaced before the upload; \\$NAME stands for "
		"$NAME itself.\n",
		verb_session_create},
	{"session update", "FILE|-", 1, 1, false, o_update,
		"Replace a session; prints its name and new hash.",
		"A file without predecessor gets the session's current hash as predecessor, unless that is "
		"another hash than\n"
		"the one last seen here: then somebody else changed it, and the update is refused.\n",
		verb_session_update},
	{"session read", "NAME", 1, 1, false, o_read, "Print a session as it was uploaded.", NULL,
		verb_session_read},
	{"session verify", "FILE|-", 1, 1, false, o_verify,
		"Check a session file, without a CAS; prints its name and hash.",
		"Everything wrong with it is printed as FILE:LINE:COLUMN: error: KEY PATH: TEXT [NAME]. The "
		"hash is '-' where it\n"
		"depends on who uploads the file and there is no identity here.\n",
		verb_session_verify},
	{"session check", "FILE|-", 1, 1, false, o_verify, "The same as session verify.", NULL,
		verb_session_verify},
	{"session calculate-hash", "FILE|-", 1, 1, false, o_verify,
		"Print the hash that a session file will have at CAS.",
		"Where the hash depends on who uploads the file, that is this identity, or --creator.\n",
		verb_session_hash},
	{"session list", "", 0, 0, false, o_remote,
		"List the sessions that this identity may read: name, hash.", NULL, verb_session_list},
	{"session delete", "NAME", 1, 1, false, o_remote,
		"Delete a session with all its versions and secrets.", NULL, verb_session_delete},
	{"session sign", "FILE|-", 1, 1, false, o_sign,
		"Sign a session file; prints the signed session, for create or update.",
		"The key given with --key becomes its creator, if the file has no `creator: {signer: …}`. An "
		"update needs its\n"
		"predecessor in the file: `scone session read --for-update` writes it.\n",
		verb_session_sign},
	{"session add-signature", "FILE|-", 1, 1, false, o_add_signature,
		"Sign a signed session with one more key.", NULL, verb_session_add_signature},
	{"proposal list", "[SESSION]", 0, 1, false, o_proposal,
		"List what boards are asked: number, state, action, session, approvals.",
		"Those that this identity, or the member whose key --key gives, may see.\n",
		verb_proposal_list},
	{"proposal show", "PROPOSAL", 1, 1, false, o_proposal,
		"Print a proposal: who has voted, and what would change.",
		"PROPOSAL is its number, or the first 8 digits of it. --json prints the file that --offline "
		"takes.\n",
		verb_proposal_show},
	{"proposal approve", "PROPOSAL|FILE", 1, 1, false, o_vote,
		"Vote for a proposal, with the key of a member.",
		"What is signed is worked out here from the document that is shown, and refused if it does "
		"not fit. --hash HEX signs\n"
		"only an update to this hash. --offline needs no CAS: it prints the vote, for `scone "
		"proposal vote`.\n",
		verb_proposal_approve},
	{"proposal reject", "PROPOSAL|FILE", 1, 1, false, o_vote,
		"Vote against a proposal, with the key of a member.", NULL, verb_proposal_reject},
	{"proposal vote", "FILE|-", 1, 1, false, o_remote,
		"Bring a vote to CAS that was made with --offline.", NULL, verb_proposal_vote},
	{"proposal withdraw", "PROPOSAL", 1, 1, false, o_remote,
		"Take back a proposal that this identity made.", NULL, verb_proposal_withdraw},
	{"proposal ask", "ACTION SESSION [IMPORTER]", 2, 3, false, o_remote,
		"Ask a board for a deletion, an export to another session, or a read.",
		"ACTION is delete, export or read. An update is asked for with `scone session update`.\n",
		verb_proposal_ask},
	{"identity", "", 0, 0, false, o_identity,
		"Print this user's key hash; makes the key when there is none.", NULL, verb_identity},
	{"measure", "PROGRAM", 1, 1, false, o_measure,
		"Print a program's measurement (mrenclave in a session).",
		"SHA-256 over the runtime, the program, its interpreters and every library it names, and the "
		"same "
		"of each file\n"
		"given with --code: plugins that it loads, programs and scripts that it executes.\n",
		verb_measure},
	{"tee probe", "", 0, 0, false, o_json, "Which hardware can vouch for this machine, and what it says.",
		"For each driver: yes, with what a policy could ask for (measurement, PCRs, TCB); or no, and "
		"why. "
		"SCONE_TPM names another\n"
		"TPM than the kernel's (docs/evidence.md).\n",
		verb_tee_probe},
	{"tpm show", "", 0, 0, false, o_tpm_show,
		"Print the keys of this machine's TPM: endorsement key, attestation key.",
		"ek is what CAS's operator pins; platform is what a session names in `platforms`.\n",
		verb_tpm_show},
	{"tpm pin", "NAME EKHASH", 2, 2, false, o_tpm_pin,
		"Let the machine with this endorsement key enrol itself at CAS. For operators.", NULL,
		verb_tpm_pin},
	{"tpm enrol", "NAME", 1, 1, false, o_tpm_enrol,
		"Enrol this machine's TPM at CAS: from then on its evidence can count.",
		"CAS sends a secret that only the TPM with both keys opens. The endorsement key must be "
		"pinned, or have a maker's\n"
		"certificate that CAS accepts and the caller be an operator. Who is operator can do it "
		"again, "
		"after an update.\n",
		verb_tpm_enrol},
	{"tpm list", "", 0, 0, false, o_remote, "List the machines at CAS. For operators.", NULL,
		verb_tpm_list},
	{"tpm remove", "NAME", 1, 1, false, o_remote, "Believe this machine's TPM no longer. For operators.",
		NULL, verb_tpm_remove},
	{"evidence show", "FILE", 1, 1, false, o_show, "Print what evidence says. Nothing is verified.", NULL,
		verb_evidence_show},
	{"evidence verify", "FILE", 1, 1, false, o_evidence,
		"Verify evidence; exit code 0 only if it is genuine and its platform good.",
		"FILE is a quote, report or document as the hardware gives it, or a bundle. Refused evidence "
		"(exit code 8) is told\n"
		"with the name of the check (docs/evidence.md), the value seen and the value wanted. "
		"Platforms that are not up to\n"
		"date, and debug, need --tolerate, advisories --ignore-advisory.\n",
		verb_evidence_verify},
	{"collateral import", "FILE…", 1, -1, false, o_collateral,
		"Keep TCB info, identities and revocation lists of Intel, or lists of other makers.",
		"Each is checked: signature, issuer chain, root, dates. FILE is as `curl -i` writes it, or "
		"in "
		"another form of\n"
		"docs/evidence.md. A document that is newer replaces the older one.\n",
		verb_collateral_import},
	{"audit show", "FILE", 1, 1, false, o_audit_show,
		"Print a copy of CAS's audit log, line by line, as far as it is good.",
		"Names and hashes of sessions are in it as commitments only. --name prints the lines of one "
		"session, --hash\n"
		"says where a version of it is meant.\n",
		verb_audit_show},
	{"audit verify", "FILE", 1, 1, false, o_audit,
		"Verify a copy of CAS's audit log: every line, its signature and its link to the one before.",
		"The first bad line is named (exit code 9). Whether lines are missing at the end only CAS "
		"knows: compare the hash of the\n"
		"last line with one that was noted earlier.\n",
		verb_audit_verify},
	{"run", "[--] PROGRAM [ARG…]", 1, -1, true, o_run, "Run a program in the runtime.",
		"With --config-id it gets its configuration and secrets from CAS, once it has proved what it "
		"is. Without, it runs\n"
		"passed through, unattested. An attested program maps and executes measured code only; "
		"--code "
		"names more of it, as\n"
		"for `scone measure`. --volume gives it an encrypted file system at /MOUNT, kept in HOSTDIR "
		"and\n"
		"opened with the key of --volume-key-file; both are made if they are not there "
		"(docs/volumes.md). --tree shows it\na directory as `scone volume seal` has sealed it "
		"(docs/sealed-trees.md).\n",
		verb_run},
	{"net explain", "PLACE", 1, 1, false, o_net, "What the network shield does with a connection.",
		"PLACE is TCP:ADDRESS:PORT or unix:PATH. The rules are those of a service (--config-id), of "
		"a file "
		"(--network-rules),\nor of this environment.\n",
		verb_net_explain},
	{"console attach", "[--] COMMAND [ARG…]", 1, -1, true, o_attach,
		"Be the other end of a program's protected stdin and stdout.",
		"COMMAND starts the program, here or elsewhere (scone run …, ssh HOST scone run …), and "
		"carries sealed bytes only. "
		"The\nprogram's session has SCONE_CONSOLE_SHIELD_ATTACH=required: it starts when both have "
		"proved to have the key, "
		"for this\nrun (docs/console-shield.md). Ends with COMMAND's status, or 125 if anything was "
		"changed, left out or cut.\n",
		verb_console_attach},
	{"console decrypt", "[FILE]", 0, 1, false, o_console,
		"Read what a program wrote to a protected stdout or stderr.",
		"FILE or standard input to standard output; lines of the runtime's log to standard error. "
		"What is written is "
		"genuine, and in\norder; exit code 9 says that what follows is not, or that the end is "
		"missing. `scone console` has "
		"nothing to do with the\nweb console of the board.\n",
		verb_console_decrypt},
	{"console encrypt", "[FILE]", 0, 1, false, o_console,
		"Make input for a program whose stdin is protected.",
		"FILE or standard input to standard output. Whoever has the result can give it to the "
		"program again; `scone console "
		"attach`\nprevents that.\n",
		verb_console_encrypt},
	{"volume create", "VOLUME", 1, 1, false, o_volume_create, "Make an empty encrypted volume.",
		"VOLUME is a directory, which is made if it is not there, or a file or block device. The key "
		"file is made, too, with\n"
		"mode 0600, if it is not there. --force throws away what a file or device holds.\n",
		verb_volume_create},
	{"volume info", "VOLUME", 1, 1, false, o_volume, "Print a volume's size, use, version and label.",
		NULL, verb_volume_info},
	{"volume ls", "VOLUME [PATH]", 1, 2, false, o_volume_ls, "List a directory of a volume.", NULL,
		verb_volume_ls},
	{"volume get", "VOLUME PATH [FILE|-]", 2, 3, false, o_volume,
		"Copy a file out of a volume, to standard output if no FILE is named.", NULL,
		verb_volume_get},
	{"volume put", "VOLUME FILE|- PATH", 3, 3, false, o_volume_put, "Copy a file into a volume.",
		"It has its name only once it is whole. --force replaces what is there.\n", verb_volume_put},
	{"volume verify", "VOLUME", 1, 1, false, o_volume,
		"Read and authenticate every block of a volume; every fault is named.", NULL,
		verb_volume_verify},
	{"volume resize", "VOLUME", 1, 1, false, o_volume_resize,
		"Let a volume take more of the host, or less.", NULL, verb_volume_resize},
	{"volume encrypt", "DIR VOLUME", 2, 2, false, o_volume_encrypt,
		"Copy a directory tree into a volume, which is made if it is not there.",
		"With modes, owners, times, extended attributes, links and holes. Stopped, or after a crash, "
		"the same command goes\n"
		"on. DIR is left as it is.\n",
		verb_volume_encrypt},
	{"volume decrypt", "VOLUME DIR", 2, 2, false, o_volume,
		"Copy all of a volume into an empty directory.",
		"Stopped, or after a crash, the same command goes on.\n", verb_volume_decrypt},
	{"volume rekey", "VOLUME", 1, 1, false, o_volume_rekey, "Encrypt a volume anew, with another key.",
		"The new volume is made beside the old one, verified, and takes its place at the end. "
		"Stopped, "
		"or after a crash,\n"
		"the same command goes on; until then the old key counts.\n",
		verb_volume_rekey},
	{"volume backup", "VOLUME COPY", 2, 2, false, o_volume,
		"Copy a volume as it is, encrypted; then check that the copy has its version.", NULL,
		verb_volume_backup},
	{"volume seal", "DIR [MANIFEST]", 1, 2, false, o_seal,
		"Make a signed manifest of a read-only directory tree.",
		"MANIFEST is DIR.sealed unless it is named. Prints the root digest, which names the tree, "
		"and "
		"who signed.\n",
		verb_volume_seal},
	{"volume check", "DIR MANIFEST [PATH [OFFSET LENGTH]]", 2, 5, false, o_check,
		"Compare a tree, one file, or some bytes of it with its manifest.", NULL, verb_volume_check},
};
#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

/* True if the words of name begin with word (all of it, up to a space). */
static bool first_word_is(const char *name, const char *word)
{
	size_t n = strlen(word);

	return !strncmp(name, word, n) && (name[n] == ' ' || name[n] == '\0');
}

/* The verb that argv names; *ret_words: how many words it took. */
static const struct verb *find_verb(int argc, char **argv, int *ret_words)
{
	for (size_t i = 0; i < VERB_COUNT; i++) {
		const char *second = strchr(verbs[i].name, ' ');

		if (!first_word_is(verbs[i].name, argv[0]))
			continue;
		*ret_words = second ? 2 : 1;
		if (!second || (argc > 1 && !strcmp(second + 1, argv[1])))
			return &verbs[i];
	}
	return NULL;
}

/* The table of verbs: all, or those of one first word. */
static void print_verbs(FILE *f, const char *word)
{
	fprintf(f, "usage: scone %s%sVERB [OPTION…] [OPERAND…]\n\n", word ? word : "", word ? " " : "");
	for (size_t i = 0; i < VERB_COUNT; i++)
		if (!word || first_word_is(verbs[i].name, word))
			fprintf(f, "  scone %-16s %s\n", verbs[i].name, verbs[i].summary);
	fprintf(f, "\n'scone VERB --help' tells more; 'scone --version' prints the version.\n");
}

static bool is_help(const char *s)
{
	return !strcmp(s, "--help") || !strcmp(s, "-h") || !strcmp(s, "help");
}

/* No verb was found for argv[0]: help for a group of verbs, or a usage error. */
static int no_verb(int argc, char **argv)
{
	bool group = false;

	for (size_t i = 0; i < VERB_COUNT; i++)
		group |= first_word_is(verbs[i].name, argv[0]);
	if (group && argc > 1 && is_help(argv[1])) {
		print_verbs(stdout, argv[0]);
		return cli_done();
	}
	if (group && argc > 1)
		fprintf(stderr, "scone %s: unknown verb '%s'\n", argv[0], argv[1]);
	else if (group)
		fprintf(stderr, "scone %s: a verb is wanted\n", argv[0]);
	else
		fprintf(stderr, "scone: unknown verb '%s'\n", argv[0]);
	print_verbs(stderr, group ? argv[0] : NULL);
	return CLI_USAGE;
}

static int help_about(int argc, char **argv)
{
	const struct verb *v;
	int words;

	if (!argc) {
		print_verbs(stdout, NULL);
		return cli_done();
	}
	v = find_verb(argc, argv, &words);
	if (v) {
		verb_help(v);
		return cli_done();
	}
	for (size_t i = 0; i < VERB_COUNT && argc == 1; i++) {
		if (first_word_is(verbs[i].name, argv[0])) {
			print_verbs(stdout, argv[0]);
			return cli_done();
		}
	}
	return no_verb(argc, argv);
}

int main(int argc, char **argv)
{
	const struct verb *v;
	struct args a;
	int words, code;

	log_init("scone");
	if (argc < 2) {
		print_verbs(stderr, NULL);
		return CLI_USAGE;
	}
	if (is_help(argv[1]))
		return help_about(argc - 2, argv + 2);
	if (!strcmp(argv[1], "--version")) {
		puts("scone " OPENSCONE_VERSION);
		return cli_done();
	}
	v = find_verb(argc - 1, argv + 1, &words);
	if (!v)
		return no_verb(argc - 1, argv + 1);
	if (args_parse(&a, v, argc - words, argv + words, &code))
		return code;
	/* A program started by `run` must find the signal as it was. */
	if (v->main != verb_run)
		(void)signal(SIGPIPE, SIG_IGN);
	return v->main(&a);
}
