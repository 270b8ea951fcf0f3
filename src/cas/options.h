/*
 * options: the command line of scone-cas.
 */
#ifndef SCONE_CAS_OPTIONS_H
#define SCONE_CAS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "cas/options_file.h"
#include "cas/trust.h"
#include "core/error.h"
#include "tee/tee.h"
#include "wire/cas_evidence.h"

#define OPTIONS_CAS_POLICIES 16

struct options {
	const char *dir, *listen;
	const char *address_file; /* or NULL */
	const struct tee_ops *tee; /* NULL: the best that works here */
	uint8_t (*sim_platforms)[32]; /* owned */
	size_t sim_platform_count;
	const char *store, *join, *backup, *restore; /* or NULL */
	uint8_t join_key[32];
	bool has_join_key, print_platform;
	uint8_t (*replica_platforms)[32]; /* owned */
	size_t replica_platform_count;
	struct cas_policy *cas_policies[OPTIONS_CAS_POLICIES]; /* owned */
	size_t cas_policy_count;
	struct trust_options trust; /* its lists are owned */
	size_t max_body;
	unsigned platform_max_age; /* seconds */
	unsigned max_connections, timeout;
	unsigned max_peer_connections, max_peer_requests; /* 0: no limit */
	bool print_key, new_audit_log, check_config, help, version;
	struct options_file file; /* owned: what it says lives here */
};

/* Defaults, then the file that --config names, then argv. ERR_INPUT names the option, in a file with its line, and what it wants. Texts point
 * into argv and file. */
MUST_USE int options_parse(struct options *o, int argc, char **argv, struct error *err);
void options_free(struct options *o);
extern const char options_help[];

#endif
