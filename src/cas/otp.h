/*
 * otp: one-time passwords of a service's start: TOTP (RFC 6238), SHA-1, 6 digits, steps of 30 seconds, one step either way.
 *
 * A password is good once: the step of the last one that was taken is kept, and only a later one is taken after it. After OTP_TRIES wrong ones in one step
 * none is taken until the next step. Both in the sealed store (table "otp", name SESSION or SESSION/SERVICE: u64be last step taken, u64be step of the
 * last wrong one, u32be wrong ones in it), so they hold across restarts and for several CAS.
 */
#ifndef SCONE_CAS_OTP_H
#define SCONE_CAS_OTP_H

#include "cas/sessions.h"

#define OTP_DIGITS 6
#define OTP_STEP 30 /* seconds */
#define OTP_TRIES 10

/* The password of a step. */
void otp_value(const void *key, size_t n, uint64_t step, char ret[OTP_DIGITS + 1]);
/* given: behind '@', or NULL. 0: the service needs none, or this one was right and is used up now. ERR_ACCESS: missing, wrong, used, too many wrong ones;
 * ERR_INPUT: the service has none. svc is of s->doc. */
MUST_USE int otp_check(struct sealed_store *ss, const struct stored_session *s, const struct service *svc,
	const char *given, uint64_t now, struct error *err);

#endif
