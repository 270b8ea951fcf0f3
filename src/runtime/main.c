/*
 * main: scone-runtime. Finds out what to run (from its arguments, or from the state a predecessor left at execve), attests when it is a
 * service, loads the program and becomes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/log.h"
#include "crypto/key.h"
#include "runtime/attest.h"
#include "runtime/code.h"
#include "runtime/config.h"
#include "runtime/console.h"
#include "runtime/launch.h"
#include "runtime/loader.h"
#include "runtime/net.h"
#include "runtime/net_renew.h"
#include "runtime/shields.h"
#include "runtime/signal.h"
#include "runtime/stats.h"
#include "runtime/sys/volume.h"
#include "runtime/thread.h"
#include "runtime/verified.h"
#include "runtime/volumes.h"
#include "wire/collateral_dir.h"
#include "wire/las_client.h"

#define EXIT_RUNTIME 125 /* the runtime itself failed: usage, attestation, configuration */
#define EXIT_NOT_RUN 126 /* found, but cannot be run */
#define EXIT_NOT_FOUND 127 /* no such program */
#define OWN_STACK (1024 * 1024)
#define GUARD 4096
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

extern const char __executable_start[], etext[], _end[];

struct options {
	struct attest_options attest;
	char **program; /* PROGRAM ARG… */
	int volumes; /* --volumes: descriptor of the list, -1: none */
	int renew_area, renew_life; /* --renew: descriptors, -1: none */
	char **code; /* --code FILE…, NULL-terminated */
	size_t code_count;
};

static struct process process;

static const char usage_text[] =
	"usage: scone-runtime [--cas IP:PORT --cas-key KEYHASH|--cas-policy FILE --las SOCKET --config-id "
	"SESSION/SERVICE] -- "
	"PROGRAM [ARG...]\n"
	"\n"
	"Runs PROGRAM in its own process, with the system calls of PROGRAM intercepted. With --config-id "
	"the\n"
	"program is measured and attested first and gets arguments, environment, files and secrets from "
	"CAS;\n"
	"without it the program is passed through, unattested. `scone run` finds address and key by itself.\n"
	"\n"
	"  --cas IP:PORT      address of CAS, numeric\n"
	"  --cas-key KEYHASH  the key CAS must have\n"
	"  --cas-policy FILE  what CAS's own evidence must say, as JSON; instead of its key, or besides\n"
	"  --las SOCKET       socket of the local attestation service (default " LAS_DEFAULT_ADDR ")\n"
	"  --config-id ID     SESSION/SERVICE of the policy\n"
	"  --access-token-file FILE  what CAS must prove to know, too: the session's service_access_token\n"
	"  --renew AREA:LIFE  renew the certificates of an application; the runtime starts this itself\n"
	"  --volumes FD       encrypted volumes, listed in a sealed memory file (`scone run --volume`)\n"
	"  --code FILE        a further file to measure and admit: a plugin, a program to be executed "
	"(repeatable)\n"
	"  --help, --version\n"
	"\n"
	"environment: SCONE_LOG=error|warn|info|debug (debug: counters of system calls at exit)\n"
	"exit status: that of PROGRAM; 125 the runtime failed, 126 PROGRAM cannot be run, 127 not found\n";

static int fail(const struct error *err, int status)
{
	log_error("%s", err->text);
	return status;
}

/* Lives as long as the process. */
static int read_cas_policy(const char *path, const struct cas_policy **ret, struct error *err)
{
	struct cas_policy *p;
	struct buf b;
	int rc;

	buf_init(&b, CAS_POLICY_MAX + 1);
	rc = collateral_read(path, CAS_POLICY_MAX, &b, err);
	if (rc == 0)
		rc = cas_policy_parse(b.data, b.len, &p, err);
	buf_free(&b);
	if (rc == 0)
		*ret = p;
	return rc;
}

/* Lives as long as the process. The file's last newline is the editor's. */
static int read_access_token(const char *path, struct attest_options *o, struct error *err)
{
	struct buf b;

	buf_init_secret(&b, ACCESS_TOKEN_MAX + 1);
	if (collateral_read(path, ACCESS_TOKEN_MAX + 1, &b, err))
		return -1;
	if (b.len && b.data[b.len - 1] == '\n')
		b.len--;
	if (b.len == 0 || b.len > ACCESS_TOKEN_MAX)
		return error_set(err, ERR_INPUT, "an access token of %zu bytes; 1 to %d are allowed", b.len,
			ACCESS_TOKEN_MAX);
	o->access_token = b.data;
	o->access_token_len = b.len;
	return 0;
}

static int parse_options(int argc, char **argv, struct options *o, int *ret_status)
{
	static const struct option table[] = {{"cas", required_argument, NULL, 'c'},
		{"cas-key", required_argument, NULL, 'k'}, {"cas-policy", required_argument, NULL, 'p'},
		{"las", required_argument, NULL, 'l'}, {"config-id", required_argument, NULL, 'i'},
		{"access-token-file", required_argument, NULL, 'a'},
		{"volumes", required_argument, NULL, 'v'}, {"code", required_argument, NULL, 'm'},
		{"renew", required_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'}, {0}};
	struct error err;
	char *end;
	int opt;

	*ret_status = EXIT_RUNTIME;
	o->volumes = o->renew_area = o->renew_life = -1;
	o->attest.las = LAS_DEFAULT_ADDR;
	while ((opt = getopt_long(argc, argv, "+h", table, NULL)) != -1) {
		switch (opt) {
		case 'c':
			o->attest.cas = optarg;
			break;
		case 'k':
			if (key_hash_parse(optarg, strlen(optarg), o->attest.cas_key, &err))
				return log_error("--cas-key %s: %s", optarg, err.text), -1;
			o->attest.has_cas_key = true;
			break;
		case 'p':
			if (read_cas_policy(optarg, &o->attest.cas_policy, &err))
				return log_error("--cas-policy %s: %s", optarg, err.text), -1;
			break;
		case 'l':
			o->attest.las = optarg;
			break;
		case 'i':
			o->attest.config_id = optarg;
			break;
		case 'a':
			if (read_access_token(optarg, &o->attest, &err))
				return log_error("--access-token-file %s: %s", optarg, err.text), -1;
			break;
		case 'v':
			o->volumes = (int)strtol(optarg, &end, 10);
			if (*end || end == optarg || o->volumes < 3)
				return log_error(
					       "--volumes %s: the number of a descriptor is wanted", optarg),
				       -1;
			break;
		case 'm':
			if (launch_push(&o->code, &o->code_count, optarg))
				return log_error("no memory for arguments"), -1;
			break;
		case 'r':
			if (net_renew_parse(optarg, &o->renew_area, &o->renew_life))
				return log_error("--renew %s: the numbers of two descriptors are wanted",
					       optarg),
				       -1;
			break;
		case 'h':
			fputs(usage_text, stdout);
			*ret_status = 0;
			return -1;
		case 'V':
			puts("scone-runtime " OPENSCONE_VERSION);
			*ret_status = 0;
			return -1;
		default:
			fputs(usage_text, stderr);
			return -1;
		}
	}
	o->program = argv + optind;
	if (!o->program[0])
		return log_error("no PROGRAM given; see --help"), -1;
	if (o->attest.config_id && (!o->attest.cas || (!o->attest.has_cas_key && !o->attest.cas_policy)))
		return log_error(
			       "--config-id %s needs --cas and --cas-key or --cas-policy: a CAS whose key is "
			       "not known cannot be trusted",
			       o->attest.config_id),
		       -1;
	if (o->attest.config_id && o->volumes >= 0)
		return log_error("--volumes with --config-id %s: an attested service takes no volume of the "
				 "host's choice",
			       o->attest.config_id),
		       -1;
	return 0;
}

static const char *env_value(char **env, const char *name)
{
	size_t n = strlen(name);

	for (; *env; env++)
		if (!strncmp(*env, name, n) && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

/* As execvp: a name without '/' is searched along PATH. 0 or -errno. */
static int find_program(struct launch *l, const char *name)
{
	const char *path = env_value(l->envp, "PATH"), *p;
	int rc = -ENOENT, best = -ENOENT;
	char full[PATH_MAX];

	if (strchr(name, '/') || !name[0]) {
		l->execfn = strdup(name);
		return l->execfn ? launch_resolve(l, AT_FDCWD) : -ENOMEM;
	}
	for (p = path && *path ? path : DEFAULT_PATH;; p++) {
		size_t n = strcspn(p, ":");

		if ((size_t)snprintf(full, sizeof(full), "%.*s%s%s", (int)n, p, n ? "/" : "./", name) <
			sizeof(full)) {
			free(l->execfn);
			l->execfn = strdup(full);
			rc = l->execfn ? launch_resolve(l, AT_FDCWD) : -ENOMEM;
			if (!rc)
				return 0;
			if (rc != -ENOENT && rc != -ENOTDIR)
				best = rc;
		}
		p += n;
		if (!*p)
			return best;
	}
}

static int copy_vector(char **from, char ***ret, size_t *ret_n)
{
	*ret = calloc(1, sizeof(char *));
	*ret_n = 0;
	if (!*ret)
		return -1;
	for (; *from; from++)
		if (launch_push(ret, ret_n, *from))
			return -1;
	return 0;
}

static int locate(struct launch *l, int *ret_status)
{
	char *name = strdup(l->argv[0]);
	int rc = name ? find_program(l, name) : -ENOMEM;

	if (rc) {
		*ret_status = rc == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
		log_error("%s: %s", name ? name : "program", strerror(-rc));
	}
	free(name);
	return rc;
}

/* What the code that will run is, from the files themselves. */
static int measure_program(
	const struct options *o, const struct launch *l, struct manifest *m, struct error *err)
{
	manifest_init(m);
	if (closure_compute_by(verified_measure, l->execfn, m, err))
		return -1;
	for (size_t i = 0; i < o->code_count; i++)
		if (closure_extend(o->code[i], (const char *const *)o->code, o->code_count, m, err))
			return error_wrap(err, "--code %s", o->code[i]);
	return 0;
}

/* The program as the host names it. */
static int launch_named(const struct options *o, char **env, struct launch *l, int *ret_status)
{
	if (copy_vector(o->program, &l->argv, &l->argc) || copy_vector(env, &l->envp, &l->envc))
		return log_error("no memory for arguments"), -1;
	return locate(l, ret_status);
}

static int launch_plain(const struct options *o, char **env, struct launch *l, int *ret_status)
{
	struct error net_err;
	uint64_t all = SIGSET_ALL;
	struct error err = {0};
	int rc;

	if (o->volumes >= 0 && volumes_start(&process, o->volumes, &err))
		return fail(&err, -1);
	if (volume_start_directory(NULL))
		return log_error("the working directory cannot be entered"), -1;
	if (launch_named(o, env, l, ret_status))
		return -1;
	rc = shields_init(&process, NULL);
	if (rc)
		return log_error("start the shields: %s", strerror(-rc)), -1;
	if (net_start(&process, l->envp, &l->envc, &net_err) ||
		console_start(&process, l->envp, &l->envc, "", &net_err))
		return fail(&net_err, -1);
	/* Once more through execve, so that /proc shows the program's arguments; if that cannot be, it runs all the same. */
	l->has_sigmask = !host_sigmask(SIG_SETMASK, &all, &l->sigmask);
	exec_hand_over(l, &process);
	return 0;
}

static size_t count(char **v)
{
	size_t n = 0;

	while (v[n])
		n++;
	return n;
}

/* Put the service's own arguments, environment, directory and files in the place of the host's. */
static int configure(const struct service_config *config, const struct options *o, char **env,
	struct launch *l, struct error *err)
{
	struct injected_table *files = NULL;
	struct launch own = {.execfn = strdup(l->execfn)};
	char *pwd = NULL;
	int rc = own.execfn ? config_apply(config, o->program, env, &own.argv, &own.envp, &pwd, &files, err)
			    : -1;

	launch_free(l);
	*l = own;
	if (rc)
		return -1;
	l->argc = count(l->argv);
	l->envc = count(l->envp);
	rc = shields_init(&process, files);
	if (rc)
		error_set_errno(err, -rc, "start the shields");
	if (!rc && (rc = launch_resolve(l, AT_FDCWD)))
		error_set_errno(err, -rc, "%s", l->execfn);
	if (!rc && (rc = volume_start_directory(pwd)))
		error_set_errno(err, -rc, "working directory %s", pwd);
	free(pwd);
	if (!rc)
		rc = net_start(&process, l->envp, &l->envc, err);
	if (!rc)
		rc = console_start(&process, l->envp, &l->envc, o->attest.config_id, err);
	return rc ? -1 : 0;
}

/* What is measured now is what it renews for: files that change later are not the program that runs. */
static int serve_renewals(const struct options *o, char **env)
{
	struct launch l = {0};
	struct manifest m;
	struct error err = {0};
	int status = EXIT_RUNTIME;

	if (!o->attest.config_id || launch_named(o, env, &l, &status))
		return status;
	if (measure_program(o, &l, &m, &err))
		return fail(&err, EXIT_RUNTIME);
	status = net_renew_serve(&o->attest, &m, o->program, env, o->renew_area, o->renew_life);
	manifest_free(&m);
	launch_free(&l);
	return status;
}

/* The host names a program; its measurement decides whether CAS hands out the service's configuration. */
static int launch_attested(
	const struct options *o, const struct host_start *host, struct launch *l, int *ret_status)
{
	struct attest_identity id = {0};
	struct service_config config;
	struct manifest m;
	struct error err = {0};
	int rc, directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (launch_named(o, host->envp, l, ret_status))
		return -1;
	*ret_status = EXIT_RUNTIME;
	if (measure_program(o, l, &m, &err))
		return fail(&err, -1);
	service_config_init(&config);
	rc = attest_service(&o->attest, &m, &config, &id, &err);
	if (!rc)
		rc = volumes_start_service(&process, &o->attest, &id, &config, &err);
	attest_identity_clear(&id);
	if (!rc) {
		runtime.attested = true;
		verified_start(&m, config.allow_unmeasured, config.allow_generated);
		for (size_t i = 0; i < config.warning_count; i++)
			log_warn("%s", config.warnings[i]);
		rc = configure(&config, o, host->envp, l, &err);
	}
	if (!rc)
		net_renew_start(&process, &o->attest, host->argv, host->envp, directory);
	if (directory >= 0)
		close(directory);
	manifest_free(&m);
	service_config_free(&config);
	return rc ? fail(&err, -1) : 0;
}

static int enter(struct launch *l, const struct host_start *host)
{
	uint8_t *area = __builtin_alloca_with_align(thread_area_size(), 512);
	struct thread t;
	struct regs regs;
	struct error err = {0};
	uint64_t none = SIGSET_ALL & ~SIGSET_SYNC, before = 0, ignored = l->sigs_ignored;
	const char *base = strrchr(l->execfn, '/');
	int rc;

	if (loader_start(l, host, &regs, &err))
		return fail(&err, EXIT_NOT_RUN);
	runtime.program = strdup(l->path);
	exec_restore_nofile(&l->nofile);
	host_sigmask(SIG_SETMASK, &none, &before);
	if (l->has_sigmask)
		before = l->sigmask;
	prctl(PR_SET_NAME, base ? base + 1 : l->execfn);
	l->by_fd = false; /* the loader closed it */
	launch_free(l);
	thread_prepare(&t, &process, area);
	/* As after execve: SSE control word and x87 in their initial state. */
	*(uint16_t *)t.xsave = 0x37f;
	*(uint32_t *)((uint8_t *)t.xsave + 24) = 0x1f80;
	*(uint64_t *)((uint8_t *)t.xsave + 512) =
		2; /* XSTATE_BV: take MXCSR from the image, all else initial */
	t.regs = &regs;
	t.is_leader = true;
	t.sigmask = before;
	process.pid = (int)host_call0(SYS_getpid);
	thread_release_rseq();
	signal_start(&process, ignored);
	rc = thread_adopt(&t);
	if (rc) {
		log_error(
			"syscall user dispatch: %s (Linux 5.11 or newer with CONFIG_GENERIC_ENTRY is needed)",
			strerror(-rc));
		return EXIT_RUNTIME;
	}
	host_call2(SYS_set_robust_list, 0, 24);
	environ = (char *[]){NULL}; /* the strings are the program's from here on */
	signal_apply_mask(&t);
	runtime.threads_started = true;
	scone_enter(&t);
	return EXIT_RUNTIME;
}

static void know_self(void)
{
	runtime.text_start = (uint64_t)__executable_start;
	runtime.text_end = (uint64_t)etext;
	runtime.image_start = (uint64_t)__executable_start;
	runtime.image_end = ((uint64_t)_end + 4095) & ~4095ULL;
}

static int start(int argc, const struct host_start *host)
{
	const char *reason = NULL;
	struct launch l = {0};
	struct options o = {0};
	int status = EXIT_RUNTIME;
	int state = exec_state_fd((const char *)getauxval(AT_EXECFN));
	struct error err = {0};

	log_init("scone-runtime");
	know_self();
	fd_ops_set(FD_VOLUME, &fd_ops_volume);
	fd_ops_set(FD_HIDDEN, &fd_ops_hidden);
	fd_ops_set(FD_SOCKET, &fd_ops_socket);
	fd_ops_set(FD_CONSOLE, &fd_ops_console);
	if (state >= 0) {
		if (launch_read_state(state, &l, &process, &err) || (runtime.attested && attest_harden(&err)))
			return fail(&err, EXIT_RUNTIME);
	} else {
		if (parse_options(argc, host->argv, &o, &status))
			return status;
		runtime.stats = log_get_level() == LOG_LVL_DEBUG;
		if (o.renew_area >= 0)
			return serve_renewals(&o, host->envp);
	}
	if (thread_check_cpu(&reason)) {
		log_error("this machine cannot run the runtime: %s", reason);
		return EXIT_RUNTIME;
	}
	if (state < 0 && (o.attest.config_id ? launch_attested(&o, host, &l, &status)
					     : launch_plain(&o, host->envp, &l, &status)))
		return status;
	if (runtime.stats)
		stats_start();
	else
		lean_start(&process);
	return enter(&l, host);
}

static struct host_start host_start;

static __attribute__((noreturn)) void start_on_own_stack(void)
{
	int status = start((int)((const uint64_t *)host_start.argv)[-1], &host_start);

	volumes_exit(&process); /* the program was not to be had */
	exit(status);
}

/* The initial stack is to be the program's, with all that the kernel does for it: the runtime leaves it at once. */
int main(int argc, char **argv, char **env)
{
	char **e = env;
	long at = host_mmap(NULL, OWN_STACK, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (host_failed(at) || host_mprotect((void *)at, GUARD, PROT_NONE)) {
		fputs("scone-runtime: error: no memory for a stack\n", stderr);
		return EXIT_RUNTIME;
	}
	while (*e)
		e++;
	host_start = (struct host_start){.argv = argv, .envp = env, .auxv = (const uint64_t *)(e + 1)};
	__asm__ volatile("movq %0, %%rsp\n\t"
			 "xorl %%ebp, %%ebp\n\t"
			 "call *%1\n\t"
			 "hlt"
			 :
			 : "r"(at + OWN_STACK), "r"(start_on_own_stack)
			 : "memory");
	__builtin_unreachable();
}
