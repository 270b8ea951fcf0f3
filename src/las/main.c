/*
 * scone-las: the local attestation service. It vouches, with this host's platform key, for processes that run a genuine
 * runtime.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/log.h"
#include "crypto/key.h"
#include "las/genuine.h"
#include "las/listener.h"
#include "las/server.h"
#include "tee/key_heap.h"
#include "tee/tee.h"
#include "wire/las_client.h"

#define DEFAULT_DIR "/var/lib/openscone/las"
#define REFRESH_MAX 86400

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct options {
	const char *socket, *dir, *tee;
	const char *runtimes[GENUINE_MAX];
	size_t runtime_count;
	unsigned refresh;
	bool print_platform;
};

static const char help[] =
	"usage: scone-las [OPTION]...\n"
	"Gives evidence about this host to processes that run a genuine scone-runtime.\n"
	"\n"
	"  --socket PATH     socket to answer on (default " LAS_DEFAULT_ADDR ")\n"
	"  --dir STATE       directory of the platform key (default " DEFAULT_DIR ")\n"
	"  --runtime FILE    a genuine runtime, known by its digest; may be given several times\n"
	"                    (default scone-runtime beside this program)\n"
	"  --tee NAME        driver that makes the evidence (default auto: the best that works here)\n"
	"  --refresh SECONDS\n"
	"                    age from which the machine's evidence about this service is made anew\n"
	"                    (default 600; no matter for sim)\n"
	"  --print-platform  print the key hash of the platform key and exit\n"
	"  --help, --version\n"
	"\n"
	"Runs until SIGTERM or SIGINT. It must be able to read /proc/PID/exe of its peers: run it as root.\n"
	"SCONE_LOG is error, warn (default), info or debug.\n"
	"Exit status: 0 stopped by a signal, 1 failed, 2 wrong usage.\n";

static int parse_refresh(const char *text, unsigned *ret)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || v < 1 || v > REFRESH_MAX) {
		fprintf(stderr, "scone-las: --refresh %s: wanted a number from 1 to %d\n", text, REFRESH_MAX);
		return -1;
	}
	*ret = (unsigned)v;
	return 0;
}

/* 0 to go on, otherwise 1 + the exit status. */
static int parse_options(int argc, char **argv, struct options *o)
{
	enum { SOCKET = 256, DIR, RUNTIME, TEE, REFRESH, PRINT, HELP, VERSION };
	static const struct option longs[] = {
		{"socket", required_argument, NULL, SOCKET},
		{"dir", required_argument, NULL, DIR},
		{"runtime", required_argument, NULL, RUNTIME},
		{"tee", required_argument, NULL, TEE},
		{"refresh", required_argument, NULL, REFRESH},
		{"print-platform", no_argument, NULL, PRINT},
		{"help", no_argument, NULL, HELP},
		{"version", no_argument, NULL, VERSION},
		{0},
	};
	int c;
	*o = (struct options){
		.socket = LAS_DEFAULT_ADDR, .dir = DEFAULT_DIR, .tee = "auto", .refresh = PLATFORM_REFRESH};
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case SOCKET:
			o->socket = optarg;
			break;
		case DIR:
			o->dir = optarg;
			break;
		case TEE:
			o->tee = optarg;
			break;
		case RUNTIME:
			if (o->runtime_count == GENUINE_MAX) {
				fprintf(stderr, "scone-las: more than %d --runtime\n", GENUINE_MAX);
				return 1 + EXIT_USAGE;
			}
			o->runtimes[o->runtime_count++] = optarg;
			break;
		case REFRESH:
			if (parse_refresh(optarg, &o->refresh) < 0)
				return 1 + EXIT_USAGE;
			break;
		case PRINT:
			o->print_platform = true;
			break;
		case HELP:
			fputs(help, stdout);
			return 1 + EXIT_OK;
		case VERSION:
			puts("scone-las " OPENSCONE_VERSION);
			return 1 + EXIT_OK;
		default:
			fputs("Try 'scone-las --help'.\n", stderr);
			return 1 + EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "scone-las: unexpected argument '%s'\nTry 'scone-las --help'.\n",
			argv[optind]);
		return 1 + EXIT_USAGE;
	}
	return 0;
}

/* Keys live in this process: no core file, no debugger of the same user. */
static int harden(struct error *err)
{
	struct rlimit none = {0, 0};
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(err, errno, "cannot harden the process");
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	int keys = key_heap_start(err);
	if (keys > 0)
		log_warn("this kernel gives no secret memory (memfd_secret): keys are in locked memory, "
			 "which root can read");
	return keys < 0 ? -1 : 0;
}

static const struct tee_ops *choose_driver(const char *name, struct error *err)
{
	if (strcmp(name, "auto") != 0) {
		const struct tee_ops *ops = tee_by_name(name);
		if (!ops)
			error_set(err, ERR_NOT_FOUND, "no TEE driver is named '%s'", name);
		return ops && ops->probe(err) == 0 ? ops : NULL;
	}
	for (const struct tee_ops *const *d = tee_drivers(); *d; d++)
		if ((*d)->probe(err) == 0)
			return *d;
	error_wrap(err, "no TEE driver works on this host");
	return NULL;
}

static int open_tee(const struct options *o, struct tee **ret, struct error *err)
{
	const struct tee_ops *ops = choose_driver(o->tee, err);
	if (!ops || listener_make_parents(o->dir, err) < 0)
		return -1;
	return ops->open(o->dir, ret, err);
}

static int print_platform(struct tee *t, struct error *err)
{
	uint8_t hash[KEY_HASH_LEN];
	char text[KEY_HASH_TEXT_MAX];
	if (t->ops->platform(t, hash, err) < 0)
		return -1;
	key_hash_text(hash, text);
	puts(text);
	return fflush(stdout) == 0 ? 0 : error_set_errno(err, errno, "cannot write to standard output");
}

/* scone-runtime in the directory of this program. */
static int default_runtime(char ret[PATH_MAX], struct error *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return error_set_errno(err, errno, "cannot find the directory of this program");
	self[n] = '\0';
	int dir = (int)(strrchr(self, '/') - self);
	if (snprintf(ret, PATH_MAX, "%.*s/scone-runtime", dir, self) >= PATH_MAX)
		return error_set(err, ERR_LIMIT,
			"the directory of this program has a path of %d bytes, which is too long", dir);
	return 0;
}

static int load_runtimes(const struct options *o, struct genuine *g, struct error *err)
{
	char beside[PATH_MAX];
	if (o->runtime_count == 0)
		return default_runtime(beside, err) < 0 ? -1 : genuine_add(g, beside, err);
	for (size_t i = 0; i < o->runtime_count; i++)
		if (genuine_add(g, o->runtimes[i], err) < 0)
			return -1;
	return 0;
}

/* SIGTERM and SIGINT as a descriptor; blocked before any thread exists, so that they only arrive there. */
static int stop_signals(struct error *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	int fd = sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -1 : signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? error_set_errno(err, errno, "cannot watch for stop signals") : fd;
}

static int serve(const struct options *o, struct tee *t, struct error *err)
{
	struct quote q = {0};
	struct listener l;
	int stop = stop_signals(err);
	int rc = stop < 0 ? -1 : genuine_new(&q.genuine, err);
	if (rc == 0)
		rc = load_runtimes(o, q.genuine, err);
	if (rc == 0)
		rc = platform_new(t, o->refresh, &q.platform, err);
	if (rc == 0)
		rc = listener_open(o->socket, &l, err);
	if (rc == 0) {
		log_info("answers on %s with %s evidence", o->socket, t->ops->name);
		if (t->ops->type == TEE_SIM)
			log_warn("simulation: this evidence keeps nobody out who is root on this host");
		rc = server_run(&q, l.fd, stop, err);
		listener_close(&l);
	}
	platform_free(q.platform);
	genuine_free(q.genuine);
	if (stop >= 0)
		close(stop);
	return rc;
}

int main(int argc, char **argv)
{
	struct options o;
	struct error err = {0};
	struct tee *t = NULL;
	log_init("scone-las");
	int done = parse_options(argc, argv, &o);
	if (done)
		return done - 1;
	int rc = harden(&err);
	if (rc == 0)
		rc = open_tee(&o, &t, &err);
	if (rc == 0)
		rc = o.print_platform ? print_platform(t, &err) : serve(&o, t, &err);
	if (t)
		t->ops->close(t);
	if (rc < 0) {
		log_error("%s", err.text);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}
