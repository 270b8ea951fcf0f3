/*
 * net_renew: certificates that CAS renews while the program runs.
 *
 * Beside the application runs a renewer: a fresh runtime without a secret, which hosts no program. When two thirds of the time that the first of the identities has
 * left are over, a child of it attests anew, as the application did at its start, and leaves the rules with the identities that CAS gives it in memory that it shares
 * with the application. Handshakes take them from there; open connections go on. What CAS refuses now, a changed platform or a service that was taken out, is not
 * renewed, and ends with its certificate.
 *
 * Both end with the application: its processes hold one end of a pipe.
 */
#ifndef SCONE_RUNTIME_NET_RENEW_H
#define SCONE_RUNTIME_NET_RENEW_H

#include "core/buf.h"
#include "runtime/attest.h"
#include "runtime/net.h"

#define NET_RENEW_TEXT_MAX (256 * 1024)

/* In the application, when its rules hold: start a renewer if an identity ends some day. argv, env, directory (a descriptor): what this runtime was started with.
 * What cannot be is said in the log: the program runs, until its certificates end. */
void net_renew_start(
	struct process *p, const struct attest_options *o, char **argv, char **env, int directory);
/* As those of net.h. */
void net_renew_encode(struct buf *out);
MUST_USE int net_renew_decode(struct process *p, struct rd *in);
void net_renew_keep(bool over_exec);

/* Are there other identities than those that were taken last? */
bool net_renew_due(void);
/* Take them: variables, each with its NUL, appended to ret (secret). False: there are none after all. */
bool net_renew_take(struct buf *ret);
/* What the renewer has to say, once each; false: nothing. */
bool net_renew_said(char ret[ERROR_TEXT_MAX]);

/* Seconds since 1970 when the first of the certificates in the rules ends, X509_FOREVER: none does. */
uint64_t net_renew_end(const struct net_rules *r);

/* --- in the renewer --- */

/* "AREA:LIFE", of --renew: numbers of descriptors. */
MUST_USE int net_renew_parse(const char *text, int *ret_area, int *ret_life);
/* Until the application has ended. The exit status. */
int net_renew_serve(const struct attest_options *o, const struct manifest *m, char **argv, char **env,
	int area, int life);

#endif
