/*
 * volume_message: what an attested runtime and CAS say about a volume (docs/protocols.md, section 2.1). Codecs only, no I/O.
 *
 * POST /v1/volumes/open    {"grant":B64,"place":HEX64}
 *   200 {"number":N,"least":N,"term":SECONDS,"version":{"generation":N,"tag":HEX32}|null,"initial_tag":HEX32|null}
 * POST /v1/volumes/update  {"grant":B64,"number":N,"generation":N,"tag":HEX32}
 * POST /v1/volumes/close   the same, or {"grant":B64,"number":N}: the lease is given back, and what CAS has of the volume stays as it is
 *   200 {"term":SECONDS}
 */
#ifndef SCONE_WIRE_VOLUME_MESSAGE_H
#define SCONE_WIRE_VOLUME_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

#define VOLUME_OPEN_PATH "/v1/volumes/open"
#define VOLUME_UPDATE_PATH "/v1/volumes/update"
#define VOLUME_CLOSE_PATH "/v1/volumes/close"
#define VOLUME_STATE_TAG_LEN 16
#define VOLUME_PLACE_LEN 32
#define VOLUME_GRANT_BYTES_MAX 4096
#define VOLUME_NUMBER_MAX INT64_MAX /* of numbers and generations: JSON's integers */

/* A state of a volume, as in shield/fs/volume.h. */
struct volume_state {
	uint64_t generation;
	uint8_t tag[VOLUME_STATE_TAG_LEN];
};

struct volume_open_request {
	struct buf grant; /* initialised by the decoder; the caller frees it */
	uint8_t place[VOLUME_PLACE_LEN];
};

/* What CAS knows, and what it has given. */
struct volume_lease {
	uint64_t number; /* of this lease; 0: none, this update policy needs none or permits no update */
	uint64_t least; /* a state that was written under an earlier lease than this is not to be used */
	uint32_t term; /* seconds; who is not heard of for so long loses the lease to whoever asks */
	bool has_version; /* false: this is the volume's first use */
	struct volume_state version;
	bool has_initial; /* without a version: the tag that the volume must have */
	uint8_t initial[VOLUME_STATE_TAG_LEN];
};

struct volume_update_request {
	struct buf grant; /* as above */
	uint64_t number;
	bool has_version; /* false: only to close */
	struct volume_state version;
};

/* Encoders append to out. Decoders refuse what is not exactly this (ERR_INPUT). */
MUST_USE int volume_open_encode(const struct volume_open_request *r, struct buf *out, struct error *err);
MUST_USE int volume_open_decode(const void *p, size_t n, struct volume_open_request *ret, struct error *err);
MUST_USE int volume_lease_encode(const struct volume_lease *l, struct buf *out, struct error *err);
MUST_USE int volume_lease_decode(const void *p, size_t n, struct volume_lease *ret, struct error *err);
MUST_USE int volume_update_encode(const struct volume_update_request *r, struct buf *out, struct error *err);
MUST_USE int volume_update_decode(
	const void *p, size_t n, struct volume_update_request *ret, struct error *err);
MUST_USE int volume_term_encode(uint32_t term, struct buf *out, struct error *err);
MUST_USE int volume_term_decode(const void *p, size_t n, uint32_t *ret, struct error *err);

#endif
