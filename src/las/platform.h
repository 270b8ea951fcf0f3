/*
 * platform: the machine's evidence about this LAS, made seldom, and LAS's signature about each program.
 *
 * LAS has a key of its own, made at start and gone with it. The hardware vouches for it once at start, again for each CAS whose platform nonce has not been
 * seen yet, and from then on by age: older than `refresh`, evidence is still given while newer is made in the background; older than twice that, or
 * asked for as fresh, the asker waits for the newer one. So the start of a program costs one local signature. A driver without quotes (sim) signs for
 * each program itself.
 */
#ifndef SCONE_LAS_PLATFORM_H
#define SCONE_LAS_PLATFORM_H

#include <sys/types.h>
#include "tee/tee.h"
#include "wire/attest.h"

#define PLATFORM_REFRESH 600 /* seconds; the default */
#define PLATFORM_CAS_MAX 16 /* the one that asked longest ago is forgotten for another */
#define PLATFORM_QUOTES_PER_MINUTE 60 /* that one user's processes may cause */

struct platform; /* safe to use from several threads */

/* t stays the caller's, and open. Makes the key and the first evidence, so that hardware that does not work is known now. */
MUST_USE int platform_new(struct tee *t, unsigned refresh, struct platform **ret, struct error *err);
void platform_free(struct platform *p);

/*
 * Evidence of a program, appended to out, which must allow EVIDENCE_MAX. uid: whose process wants it. ERR_LIMIT: this user has caused too many quotes; else
 * what the driver says.
 */
MUST_USE int platform_evidence(struct platform *p, uid_t uid, const struct platform_wish *wish,
	const uint8_t runtime_digest[32], const uint8_t manifest_root[32],
	const uint8_t report_data[REPORT_DATA_LEN], struct buf *out, struct error *err);

#endif
