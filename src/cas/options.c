#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include "cas/options.h"
#include "cas/platform_nonce.h"
#include "cas/replicas.h"
#include "crypto/key.h"

#define DEFAULT_DIR "/var/lib/openscone/cas"
#define DEFAULT_LISTEN "127.0.0.1:8081"
#define PLATFORMS_MAX 1024

const char options_help[] =
	"Usage: scone-cas [OPTION]...\n"
	"Configuration and attestation service: keeps sessions, gives secrets to attested programs.\n"
	"\n"
	"  --dir DIR             state directory, made if absent (default " DEFAULT_DIR ")\n"
	"  --listen ADDR:PORT    numeric address; port 0: any free one (default " DEFAULT_LISTEN ")\n"
	"  --address-file FILE   write ADDR:PORT there once requests are taken\n"
	"  --tee NAME            TEE driver: auto, sim, tpm, snp, tdx, nitro (default auto)\n"
	"  --sim-platform KEY    trust only this simulated platform, by key hash; may be given again\n"
	"                        (default: any simulated platform, with a warning)\n"
	"  --platform-max-age SECONDS\n"
	"                        how old a machine's evidence about its LAS may be (default 3600)\n"
	"  --store WHERE         keep everything in an etcd cluster that several CAS share:\n"
	"                        etcd://HOST:PORT,...[/PREFIX]?ca=FILE&cert=FILE&key=FILE\n"
	"                        (default: a database in the state directory)\n"
	"  --join ADDR[,ADDR]    at the first start: get the master key from a CAS of that store\n"
	"  --join-key KEY        its key hash\n"
	"  --cas-policy FILE     what is wanted of another CAS of the store, for it to join or to be joined\n"
	"                        (docs/evidence.md, as for scone cas attest --policy); may be given again:\n"
	"                        any one of them will do\n"
	"  --replica-platform KEY\n"
	"                        this platform may join, by key hash; may be given again\n"
	"  --print-platform      print the key hash of this platform and exit\n"
	"  --collateral DIR      TCB info, identities, revocation lists (scone collateral import); read "
	"again\n"
	"                        when its files change, and on HUP\n"
	"  --min-tcb-evaluation N  refuse Intel's TCB info and identities below this number\n"
	"  --operator KEY        client key hash of who may pin, enrol and remove TPMs; may be given again\n"
	"  --tpm-root FILE       root of a maker of TPMs, for the certificates of endorsement keys; may be\n"
	"                        given again\n"
	"  --test-root TYPE=FILE  for tests: this root in place of the maker's; TYPE sgx, tdx, sev-snp, "
	"nitro,\n"
	"                        tpm; CAS warns\n"
	"  --backup DIR          copy what this CAS keeps, sealed as it is, into a new directory, and exit;\n"
	"                        the CAS may run meanwhile\n"
	"  --restore DIR         put a backup into an empty state directory (and store), and exit\n"
	"  --max-body BYTES      longest request body (default 1048576)\n"
	"  --max-connections N   connections at once (default 512)\n"
	"  --max-peer-connections N\n"
	"                        of them from one address; 0: no limit (default 256)\n"
	"  --max-peer-requests N  requests in a second from one address; 0: no limit (default 10000)\n"
	"  --timeout SECONDS     for a handshake, a request, an answer (default 15)\n"
	"  --config FILE         take options from this file: `listen: 127.0.0.1:8081`, one a line (YAML); "
	"the\n"
	"                        command line counts more\n"
	"  --check-config        check options and file, and exit\n"
	"  --new-audit-log       begin another audit log although CAS remembers one that is gone;\n"
	"                        the new log says so\n"
	"  --print-key           print the key hash of this CAS and exit\n"
	"  --help, --version\n"
	"\n"
	"SCONE_LOG=error|warn|info|debug sets what is logged on standard error (default info).\n"
	"Signals: TERM and INT finish running requests and stop, a second one stops at once; HUP reads the "
	"collateral again.\n"
	"Exit status: 0 stopped or done, 1 failed, 2 wrong usage, 3 state directory unusable or tampered "
	"with,\n"
	"4 cannot listen, 128+N second signal N.\n";

enum {
	O_DIR = 1,
	O_LISTEN,
	O_ADDRESS_FILE,
	O_TEE,
	O_SIM,
	O_MAX_AGE,
	O_STORE,
	O_JOIN,
	O_JOIN_KEY,
	O_REPLICA,
	O_CAS_POLICY,
	O_PLATFORM,
	O_BACKUP,
	O_RESTORE,
	O_COLLATERAL,
	O_MIN_TCB,
	O_OPERATOR,
	O_TPM_ROOT,
	O_TEST_ROOT,
	O_BODY,
	O_CONNECTIONS,
	O_PEER_CONNECTIONS,
	O_PEER_REQUESTS,
	O_TIMEOUT,
	O_KEY,
	O_CONFIG,
	O_CHECK,
	O_NEW_AUDIT,
	O_HELP,
	O_VERSION
};

static const struct option long_options[] = {
	{"dir", required_argument, NULL, O_DIR},
	{"listen", required_argument, NULL, O_LISTEN},
	{"address-file", required_argument, NULL, O_ADDRESS_FILE},
	{"tee", required_argument, NULL, O_TEE},
	{"sim-platform", required_argument, NULL, O_SIM},
	{"platform-max-age", required_argument, NULL, O_MAX_AGE},
	{"store", required_argument, NULL, O_STORE},
	{"join", required_argument, NULL, O_JOIN},
	{"join-key", required_argument, NULL, O_JOIN_KEY},
	{"cas-policy", required_argument, NULL, O_CAS_POLICY},
	{"replica-platform", required_argument, NULL, O_REPLICA},
	{"print-platform", no_argument, NULL, O_PLATFORM},
	{"collateral", required_argument, NULL, O_COLLATERAL},
	{"min-tcb-evaluation", required_argument, NULL, O_MIN_TCB},
	{"operator", required_argument, NULL, O_OPERATOR},
	{"tpm-root", required_argument, NULL, O_TPM_ROOT},
	{"test-root", required_argument, NULL, O_TEST_ROOT},
	{"backup", required_argument, NULL, O_BACKUP},
	{"restore", required_argument, NULL, O_RESTORE},
	{"max-body", required_argument, NULL, O_BODY},
	{"max-connections", required_argument, NULL, O_CONNECTIONS},
	{"max-peer-connections", required_argument, NULL, O_PEER_CONNECTIONS},
	{"max-peer-requests", required_argument, NULL, O_PEER_REQUESTS},
	{"timeout", required_argument, NULL, O_TIMEOUT},
	{"config", required_argument, NULL, O_CONFIG},
	{"check-config", no_argument, NULL, O_CHECK},
	{"print-key", no_argument, NULL, O_KEY},
	{"help", no_argument, NULL, O_HELP},
	{"new-audit-log", no_argument, NULL, O_NEW_AUDIT},
	{"version", no_argument, NULL, O_VERSION},
	{NULL, 0, NULL, 0},
};

static int parse_number(const char *name, const char *text, unsigned long min, unsigned long max,
	unsigned long *ret, struct error *err)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || v < min || v > max)
		return error_set(
			err, ERR_INPUT, "--%s %s: wanted a number from %lu to %lu", name, text, min, max);
	*ret = v;
	return 0;
}

static int add_platform(
	const char *option, uint8_t (**to)[32], size_t *count, const char *text, struct error *err)
{
	uint8_t key[KEY_HASH_LEN];
	void *list;

	if (key_hash_parse(text, strlen(text), key, err))
		return error_wrap(err, "--%s %.80s", option, text);
	if (*count == PLATFORMS_MAX)
		return error_set(err, ERR_INPUT, "--%s more than %d times", option, PLATFORMS_MAX);
	list = reallocarray(*to, *count + 1, sizeof(**to));
	if (!list)
		return error_set(err, ERR_NOMEM, "out of memory");
	*to = list;
	memcpy((*to)[(*count)++], key, sizeof(key));
	return 0;
}

static int add_policy(struct options *o, const char *file, struct error *err)
{
	if (o->cas_policy_count == OPTIONS_CAS_POLICIES)
		return error_set(err, ERR_INPUT, "given more than %d times", OPTIONS_CAS_POLICIES);
	if (replica_policy_read(file, &o->cas_policies[o->cas_policy_count], err))
		return -1;
	o->cas_policy_count++;
	return 0;
}

static int set_tee(struct options *o, const char *name, struct error *err)
{
	if (!strcmp(name, "auto")) {
		o->tee = NULL;
		return 0;
	}
	o->tee = tee_by_name(name);
	if (!o->tee)
		return error_set(err, ERR_INPUT, "--tee %.64s: there is no such driver", name);
	return o->tee->probe(err) ? error_wrap(err, "--tee %s", name) : 0;
}

static int set_trust(struct trust_options *t, int option, const char *value, struct error *err)
{
	unsigned long v = 0;

	switch (option) {
	case O_COLLATERAL:
		t->collateral = value;
		return value[0] ? 0 : error_set(err, ERR_INPUT, "--collateral is empty");
	case O_MIN_TCB:
		if (parse_number("min-tcb-evaluation", value, 0, UINT32_MAX, &v, err))
			return -1;
		t->min_tcb_evaluation = (uint32_t)v;
		return 0;
	case O_OPERATOR:
		return trust_option_operator(t, value, err) ? error_wrap(err, "--operator %.80s", value) : 0;
	case O_TPM_ROOT:
		return trust_option_tpm_root(t, value, err) ? error_wrap(err, "--tpm-root %.200s", value) : 0;
	case O_TEST_ROOT:
		return trust_option_test_root(t, value, err) ? error_wrap(err, "--test-root") : 0;
	}
	return error_set(err, ERR_INTERNAL, "option %d", option);
}

static int set_option(struct options *o, int option, const char *value, struct error *err)
{
	unsigned long v = 0;

	switch (option) {
	case O_COLLATERAL:
	case O_MIN_TCB:
	case O_OPERATOR:
	case O_TPM_ROOT:
	case O_TEST_ROOT:
		return set_trust(&o->trust, option, value, err);
	case O_DIR:
		o->dir = value;
		return value[0] ? 0 : error_set(err, ERR_INPUT, "--dir is empty");
	case O_LISTEN:
		o->listen = value;
		return 0;
	case O_ADDRESS_FILE:
		o->address_file = value;
		return value[0] ? 0 : error_set(err, ERR_INPUT, "--address-file is empty");
	case O_TEE:
		return set_tee(o, value, err);
	case O_SIM:
		return add_platform("sim-platform", &o->sim_platforms, &o->sim_platform_count, value, err);
	case O_MAX_AGE:
		if (parse_number("platform-max-age", value, 1, 30 * 86400, &v, err))
			return -1;
		o->platform_max_age = (unsigned)v;
		return 0;
	case O_STORE:
		o->store = value;
		return 0;
	case O_JOIN:
		o->join = value;
		return 0;
	case O_JOIN_KEY:
		o->has_join_key = !key_hash_parse(value, strlen(value), o->join_key, err);
		return o->has_join_key ? 0 : error_wrap(err, "--join-key %.80s", value);
	case O_REPLICA:
		return add_platform(
			"replica-platform", &o->replica_platforms, &o->replica_platform_count, value, err);
	case O_CAS_POLICY:
		return add_policy(o, value, err) ? error_wrap(err, "--cas-policy %.200s", value) : 0;
	case O_BACKUP:
		o->backup = value;
		return 0;
	case O_RESTORE:
		o->restore = value;
		return 0;
	case O_PLATFORM:
		o->print_platform = true;
		return 0;
	case O_BODY:
		if (parse_number("max-body", value, 1024, 64 * 1024 * 1024, &v, err))
			return -1;
		o->max_body = v;
		return 0;
	case O_CONNECTIONS:
		if (parse_number("max-connections", value, 1, 100000, &v, err))
			return -1;
		o->max_connections = (unsigned)v;
		return 0;
	case O_PEER_CONNECTIONS:
		if (parse_number("max-peer-connections", value, 0, 100000, &v, err))
			return -1;
		o->max_peer_connections = (unsigned)v;
		return 0;
	case O_PEER_REQUESTS:
		if (parse_number("max-peer-requests", value, 0, 1000000, &v, err))
			return -1;
		o->max_peer_requests = (unsigned)v;
		return 0;
	case O_TIMEOUT:
		if (parse_number("timeout", value, 1, 3600, &v, err))
			return -1;
		o->timeout = (unsigned)v;
		return 0;
	case O_KEY:
		o->print_key = true;
		return 0;
	case O_NEW_AUDIT:
		o->new_audit_log = true;
		return 0;
	case O_CONFIG: /* read before all others */
		return 0;
	case O_CHECK:
		o->check_config = true;
		return 0;
	case O_HELP:
		o->help = true;
		return 0;
	case O_VERSION:
		o->version = true;
		return 0;
	}
	return error_set(err, ERR_INTERNAL, "option %d", option);
}

static const struct option *option_named(const char *name)
{
	for (const struct option *l = long_options; l->name; l++)
		if (!strcmp(l->name, name))
			return l;
	return NULL;
}

static bool only_on_command_line(int option)
{
	return option == O_CONFIG || option == O_CHECK || option == O_KEY || option == O_PLATFORM ||
	       option == O_BACKUP || option == O_RESTORE || option == O_HELP || option == O_VERSION ||
	       option == O_NEW_AUDIT;
}

static int apply_setting(struct options *o, const struct option_setting *s, struct error *err)
{
	const struct option *l = option_named(s->name);

	if (!l || only_on_command_line(l->val))
		return error_set(err, ERR_INPUT, "%.64s is not an option that a file may set", s->name);
	if (!l->has_arg && strcmp(s->value, "true") != 0 && strcmp(s->value, "false") != 0)
		return error_set(err, ERR_INPUT, "%s: %.64s, wanted true or false", s->name, s->value);
	if (l->has_arg || !strcmp(s->value, "true"))
		return set_option(o, l->val, s->value, err);
	return 0;
}

static int apply_file(struct options *o, const char *path, struct error *err)
{
	if (options_file_read(path, &o->file, err))
		return -1;
	for (size_t i = 0; i < o->file.count; i++)
		if (apply_setting(o, &o->file.settings[i], err))
			return error_wrap(err, "%s:%d", path, o->file.settings[i].line);
	return 0;
}

/* What --config says, the last time it is given; mistakes are left to the second look. */
static const char *config_path(int argc, char **argv)
{
	const char *path = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "+:", long_options, NULL)) != -1)
		if (option == O_CONFIG)
			path = optarg;
	optind = 0;
	return path;
}

int options_parse(struct options *o, int argc, char **argv, struct error *err)
{
	const char *path;
	int option;

	*o = (struct options){.dir = DEFAULT_DIR,
		.listen = DEFAULT_LISTEN,
		.platform_max_age = PLATFORM_MAX_AGE,
		.max_body = 1024 * 1024,
		.max_connections = 512,
		.max_peer_connections = 256,
		.max_peer_requests = 10000,
		.timeout = 15};
	opterr = 0;
	path = config_path(argc, argv);
	if (path && apply_file(o, path, err))
		return -1;
	while ((option = getopt_long(argc, argv, "+:", long_options, NULL)) != -1) {
		if (option == '?')
			return error_set(
				err, ERR_INPUT, "%.64s is not an option of scone-cas", argv[optind - 1]);
		if (option == ':')
			return error_set(err, ERR_INPUT, "%.64s wants a value", argv[optind - 1]);
		if (set_option(o, option, optarg, err))
			return -1;
	}
	if ((o->join || o->has_join_key) && !(o->store && o->join && o->has_join_key))
		return error_set(err, ERR_INPUT, "--join, --join-key and --store are given together");
	if (optind < argc)
		return error_set(err, ERR_INPUT, "\"%.64s\" is not an option of scone-cas", argv[optind]);
	return 0;
}

void options_free(struct options *o)
{
	trust_options_free(&o->trust);
	free(o->sim_platforms);
	o->sim_platforms = NULL;
	free(o->replica_platforms);
	o->replica_platforms = NULL;
	while (o->cas_policy_count > 0)
		free(o->cas_policies[--o->cas_policy_count]);
	options_file_free(&o->file);
}
