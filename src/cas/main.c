/*
 * scone-cas: start, serve, stop.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "cas/api.h"
#include "cas/batch.h"
#include "cas/http.h"
#include "cas/identity.h"
#include "cas/metrics.h"
#include "cas/nonce.h"
#include "cas/options.h"
#include "cas/remotes.h"
#include "cas/replicas.h"
#include "cas/state.h"
#include "cas/store_copy.h"
#include "core/log.h"
#include "core/secret.h"
#include "tee/key_heap.h"
#include "wire/json_wipe.h"

#define EXIT_USAGE 2
#define EXIT_STATE 3
#define EXIT_LISTEN 4
/* How long requests may take to finish after the first signal. */
#define GRACE_SECONDS 10

struct service {
	struct options o;
	struct state state;
	struct identity identity;
	struct cas cas;
	struct metrics metrics;
	struct replica_wanted replicas_wanted;
	struct event_base *base;
	struct http_server *http;
	struct event *term, *interrupt, *hup, *grace;
	bool stopping;
};

/* Nobody but root reads our memory, and no file ever holds it. */
static int harden(struct error *err)
{
	struct rlimit none = {0, 0}, files;
	int keys;

	if (setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return error_set_errno(err, errno, "cannot switch off core dumps");
	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files); /* as many connections as it gives */
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is then an error, as a full disk is */
	signal(SIGHUP, SIG_IGN);
	umask(077);
	keys = key_heap_start(err);
	if (keys > 0)
		log_warn("this kernel gives no secret memory (memfd_secret): keys are in locked memory, "
			 "which root can read");
	return keys < 0 ? -1 : 0;
}

static const struct tee_ops *find_tee(struct error *err)
{
	struct error why = {0};

	for (const struct tee_ops *const *t = tee_drivers(); *t; t++) {
		if (!(*t)->probe(&why))
			return *t;
		log_debug("TEE %s: %s", (*t)->name, why.text);
	}
	error_set(err, ERR_NOT_FOUND, "no TEE driver works on this host; the last one said: %s", why.text);
	return NULL;
}

static void warn_simulation(const struct service *s)
{
	if (s->cas.tee->type != TEE_SIM)
		return;
	log_warn("TEE is sim: no hardware protects this CAS, root of this host can read what it holds");
	if (!s->cas.sim_platform_count)
		log_warn("any simulated platform is trusted: anyone can make evidence for sessions of mode "
			 "simulation; "
			 "name the platforms with --sim-platform");
}

static int write_address(const struct service *s, struct error *err)
{
	char dir_text[PATH_MAX], base_text[PATH_MAX], line[HTTP_ADDRESS_MAX + 2];
	const char *path = s->o.address_file;
	int dir, n, rc;

	if (!path)
		return 0;
	if (strlen(path) >= PATH_MAX)
		return error_set(
			err, ERR_INPUT, "--address-file: path of %zu bytes is too long", strlen(path));
	/* dirname and basename may write into what they are given */
	memcpy(dir_text, path, strlen(path) + 1);
	memcpy(base_text, path, strlen(path) + 1);
	dir = open(dirname(dir_text), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_set_errno(err, errno, "--address-file %s: cannot open its directory", path);
	n = snprintf(line, sizeof(line), "%s\n", http_server_address(s->http));
	rc = state_write_file(dir, basename(base_text), line, (size_t)n, 0644, err);
	close(dir);
	return rc ? error_wrap(err, "--address-file %s", path) : 0;
}

static void on_stopped(void *arg)
{
	struct service *s = arg;

	event_base_loopexit(s->base, NULL);
}

static void on_grace(evutil_socket_t fd, short what, void *arg)
{
	struct service *s = arg;

	log_warn("%u connections did not end within %d seconds: closed", http_server_connections(s->http),
		GRACE_SECONDS);
	event_base_loopbreak(s->base);
}

static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
	struct service *s = arg;
	struct timeval grace = {.tv_sec = GRACE_SECONDS};

	if (s->stopping) {
		log_warn("second signal: ending at once");
		_exit(128 + (int)signal_number);
	}
	log_info("signal %d: stopping", (int)signal_number);
	s->stopping = true;
	event_add(s->grace, &grace);
	http_server_stop(s->http, on_stopped, s);
}

static void on_hup(evutil_socket_t signal_number, short what, void *arg)
{
	struct service *s = arg;

	trust_reread(s->cas.trust);
}

static int start_events(struct service *s, struct error *err)
{
	s->base = event_base_new();
	if (s->base) {
		s->term = evsignal_new(s->base, SIGTERM, on_signal, s);
		s->interrupt = evsignal_new(s->base, SIGINT, on_signal, s);
		s->hup = evsignal_new(s->base, SIGHUP, on_hup, s);
		s->grace = evtimer_new(s->base, on_grace, s);
	}
	if (!s->grace || !s->term || !s->interrupt || !s->hup || event_add(s->term, NULL) ||
		event_add(s->hup, NULL) || event_add(s->interrupt, NULL))
		return error_set(err, ERR_IO, "cannot set up the event loop");
	return 0;
}

static int start_http(struct service *s, struct error *err)
{
	struct http_options o = {
		.listen = s->o.listen,
		.key = s->identity.key,
		.cert = s->identity.cert,
		.body_max = s->o.max_body,
		.connections = s->o.max_connections,
		.peer_connections = s->o.max_peer_connections,
		.peer_requests = s->o.max_peer_requests,
		.timeout = s->o.timeout,
		.run = batch_run,
		.arg = &s->cas,
		.metrics = s->cas.metrics,
	};

	return http_server_new(s->base, &o, &s->http, err);
}

struct joining {
	const struct service *s;
	const struct trust *trust;
};

static int join(void *arg, struct tee *tee, uint8_t ret[SEALED_MASTER_LEN], struct error *err)
{
	const struct joining *g = arg;
	const struct service *s = g->s;
	struct verify_context vc = {0};
	struct replica_join j = {.address = s->o.join, .key = s->o.join_key, .wanted = s->replicas_wanted};

	trust_context(g->trust, &vc);
	j.collateral = vc.collateral;
	log_info("asking the CAS at %s for the master key", s->o.join);
	return replica_fetch(&j, tee, ret, err);
}

static int print_platform(struct service *s, struct error *err)
{
	struct state_place place = {.dir = s->o.dir, .tee = s->o.tee ? s->o.tee : find_tee(err)};
	char text[KEY_HASH_TEXT_MAX];
	uint8_t key[32];

	if (!place.tee || state_open_tee(&s->state, &place, err) ||
		s->state.tee->ops->platform(s->state.tee, key, err))
		return EXIT_STATE;
	key_hash_text(key, text);
	puts(text);
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int copy_state(struct service *s, struct error *err)
{
	struct state_place place = {
		.dir = s->o.dir, .tee = s->o.tee ? s->o.tee : find_tee(err), .store = s->o.store};
	uint64_t n = 0;

	if (!place.tee || (s->o.backup ? store_backup(&place, s->o.backup, &n, err)
				       : store_restore(&place, s->o.restore, &n, err)))
		return EXIT_STATE;
	printf("%llu records\n", (unsigned long long)n);
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int open_service(struct service *s, struct error *err)
{
	const struct tee_ops *tee = s->o.tee ? s->o.tee : find_tee(err);
	struct nonce_table *nonces = NULL;
	struct trust *trust = NULL;
	struct enrol *enrol = NULL;
	struct own_evidence *own = NULL;
	struct remotes *remotes = NULL;
	struct joining joining = {.s = s};
	struct state_place place = {.dir = s->o.dir,
		.tee = tee,
		.store = s->o.store,
		.fetch_master = s->o.join ? join : NULL,
		.arg = &joining};

	s->replicas_wanted = (struct replica_wanted){s->o.replica_platforms, s->o.replica_platform_count,
		s->o.cas_policies, s->o.cas_policy_count};
	if (!tee || trust_open(&s->o.trust, (uint64_t)time(NULL), &trust, err))
		return -1;
	joining.trust = trust;
	if (state_open(&s->state, &place, err) || identity_load(s->state.sealed, &s->identity, err) ||
		enrol_new(s->state.sealed, trust, &enrol, err) || enrol_refresh(enrol, err) ||
		own_evidence_new(s->state.tee, s->identity.hash, &own, err) ||
		nonce_table_new(&nonces, err) ||
		remotes_new(s->identity.key, s->identity.cert, &remotes, err)) {
		own_evidence_free(own);
		enrol_free(enrol);
		trust_close(trust);
		return -1;
	}
	s->cas = (struct cas){
		.remotes = remotes,
		.store = s->state.sealed,
		.nonces = nonces,
		.identity = &s->identity,
		.metrics = &s->metrics,
		.tee = tee,
		.state = &s->state,
		.replicas_wanted = &s->replicas_wanted,
		.trust = trust,
		.enrol = enrol,
		.own_evidence = own,
		.sim_platforms = s->o.sim_platforms,
		.sim_platform_count = s->o.sim_platform_count,
		.platform_max_age = s->o.platform_max_age,
	};
	return platform_nonce_key(s->identity.key, s->cas.platform_key, err);
}

static int serve(struct service *s, struct error *err)
{
	warn_simulation(s);
	if (audit_open(s->state.dir_fd, &s->identity, s->state.sealed, s->state.replica, s->o.new_audit_log,
		    &s->cas.audit, err))
		return EXIT_STATE;
	if (start_events(s, err))
		return EXIT_FAILURE;
	if (start_http(s, err))
		return EXIT_LISTEN;
	if (write_address(s, err))
		return EXIT_FAILURE;
	log_info("key %s, listening on %s, directory %s, generation %llu", s->identity.text,
		http_server_address(s->http), s->state.dir,
		(unsigned long long)sealed_store_generation(s->state.sealed));
	if (event_base_dispatch(s->base) < 0) {
		error_set(err, ERR_IO, "the event loop failed");
		return EXIT_FAILURE;
	}
	if (audit_write(s->cas.audit, &(struct audit_note){.event = "cas-stopped"}, err))
		return EXIT_FAILURE;
	log_info("stopped");
	return EXIT_SUCCESS;
}

static void close_service(struct service *s)
{
	/* Before the server: what waits for other CAS is the server's again then. */
	remotes_stop(s->cas.remotes);
	http_server_free(s->http);
	remotes_free(s->cas.remotes);
	if (s->grace)
		event_free(s->grace);
	if (s->term)
		event_free(s->term);
	if (s->hup)
		event_free(s->hup);
	if (s->interrupt)
		event_free(s->interrupt);
	if (s->base)
		event_base_free(s->base);
	audit_close(s->cas.audit);
	nonce_table_free(s->cas.nonces);
	secret_wipe(s->cas.platform_key, sizeof(s->cas.platform_key));
	own_evidence_free(s->cas.own_evidence);
	enrol_free(s->cas.enrol);
	trust_close(s->cas.trust);
	identity_free(&s->identity);
	state_close(&s->state);
	options_free(&s->o);
}

static int run(struct service *s, int argc, char **argv, struct error *err)
{
	if (options_parse(&s->o, argc, argv, err)) {
		error_wrap(err, "usage");
		return EXIT_USAGE;
	}
	if (s->o.help || s->o.version) {
		fputs(s->o.help ? options_help : "scone-cas " OPENSCONE_VERSION "\n", stdout);
		return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	if (s->o.check_config) {
		puts("good");
		return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	if (harden(err))
		return EXIT_FAILURE;
	if (s->o.backup || s->o.restore)
		return copy_state(s, err);
	if (s->o.print_platform)
		return print_platform(s, err);
	if (open_service(s, err))
		return EXIT_STATE;
	if (!s->o.print_key)
		return serve(s, err);
	puts(s->identity.text);
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct service s = {0};
	struct error err = {0};
	int status;

	log_init("scone-cas");
	if (!getenv("SCONE_LOG"))
		log_set_level(LOG_LVL_INFO);
	json_wipe_install();
	state_init(&s.state);
	status = run(&s, argc, argv, &err);
	if (err.code)
		log_error("%s", err.text);
	close_service(&s);
	return status;
}
