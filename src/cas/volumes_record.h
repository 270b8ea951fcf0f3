/*
 * volumes_record: what CAS keeps of one volume, in the sealed store. Integers are big endian.
 *
 * Table "volume", name SESSION@VOLUME of the session that has the volume (a session's name holds no '@'):
 *   u8 format 1, 16 bytes id, 32 bytes key, u8 flags (1 version, 2 held, 4 initial tag), u64 generation, 16 bytes tag, 16 bytes initial tag,
 *   u64 number, u64 least, 32 bytes holder, 32 bytes place, u64 seen
 */
#ifndef SCONE_CAS_VOLUMES_RECORD_H
#define SCONE_CAS_VOLUMES_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include "cas/sealed_store.h"

#define TABLE_VOLUME "volume"
/* NAME (512), '@', NAME (512), NUL */
#define VOLUME_RECORD_NAME_MAX 1026
#define VOLUME_RECORD_ID_LEN 16
#define VOLUME_RECORD_KEY_LEN 32
#define VOLUME_RECORD_TAG_LEN 16

struct volume_record {
	uint8_t id[VOLUME_RECORD_ID_LEN]; /* random; names the volume in the audit log */
	uint8_t key[VOLUME_RECORD_KEY_LEN]; /* made here; not used while the session gives one */
	bool has_version;
	uint64_t generation;
	uint8_t tag[VOLUME_RECORD_TAG_LEN];
	bool has_initial; /* fspf_tag of the session when generation and tag were last reset to it */
	uint8_t initial[VOLUME_RECORD_TAG_LEN];
	uint64_t number; /* of the newest lease; 0: there was none */
	uint64_t least; /* of the newest lease under which a version came in */
	bool held;
	uint8_t holder[32]; /* key hash of the application that has the lease */
	uint8_t place[32]; /* where it says that the volume lies */
	uint64_t seen; /* when it was last heard of: seconds since 1970 */
};

void volume_record_name(const char *session, const char *volume, char ret[VOLUME_RECORD_NAME_MAX]);
/* out is a secret buf. */
MUST_USE int volume_record_encode(const struct volume_record *v, struct buf *out, struct error *err);
/* ERR_NOT_FOUND if there is none. The caller wipes *ret. */
MUST_USE int volume_record_load(struct sealed_store *ss, const char *session, const char *volume,
	struct volume_record *ret, struct error *err);

#endif
