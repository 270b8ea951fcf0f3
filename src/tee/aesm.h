/*
 * aesm: Intel's quoting service by its Unix socket. A connection carries one request and one answer, each a u32 length (little endian) and a protobuf message
 * (Request, Response; proto2) of which one field, the same number in both, is the call.
 *
 * Sources: Intel SGX PSW for Linux, messages of the AESM service, and sgx_quote.h, aesm_error.h of its SDK; Intel SDM 3D, TARGETINFO and REPORT.
 *
 *	call                       field  request: numbers of its fields           answer: error 1, and
 *	InitQuoteEx                15     key id 1, public key wanted 3, room 4     TARGETINFO 2, size of the public key 3, public key 4
 *	GetQuoteSizeEx             16     key id 1                                  size 2
 *	GetQuoteEx                 17     report 1, key id 2, room 4                quote 2
 *	GetSupportedAttKeyIDNum    21                                               number 2
 *	GetSupportedAttKeyIDs      22     room 1                                    key ids 2
 *
 * Each request has a time limit in microseconds, field 9. What answers runs outside of every enclave and is trusted with nothing: a quote counts when it verifies.
 */
#ifndef SCONE_TEE_AESM_H
#define SCONE_TEE_AESM_H

#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"
#include "evidence/bundle.h"

#define AESM_ENV "SCONE_AESM" /* path of the socket */
#define AESM_DEFAULT "/var/run/aesmd/aesm.socket"
#define AESM_KEY_ID_LEN 256
#define AESM_ALGORITHM_AT 154 /* in a key id: u32, little endian; 2: ECDSA with P-256 */
#define AESM_TARGET_LEN 512 /* TARGETINFO */
#define AESM_REPORT_LEN 432 /* REPORT: body, key id of its MAC, MAC */
#define AESM_MESSAGE_MAX 131072
#define AESM_KEY_NOT_INITIALIZED 42 /* error of the service */

enum aesm_call {
	AESM_INIT_QUOTE = 15,
	AESM_QUOTE_SIZE = 16,
	AESM_QUOTE = 17,
	AESM_UNSUPPORTED = 20, /* an answer to what the service does not know */
	AESM_KEY_COUNT = 21,
	AESM_KEYS = 22,
};

/* Fields 1 to 3 of an answer; bytes point into it. Those that are absent are 0 and empty. */
struct aesm_answer {
	uint64_t error, number, size; /* size: field 3 */
	struct bytes value; /* field 2, where it is bytes */
};

/* A message (without its length) as the answer to call. ERR_PEER for another call's answer, no error field, or what is no protobuf. */
MUST_USE int aesm_answer_decode(
	const uint8_t *p, size_t n, enum aesm_call call, struct aesm_answer *ret, struct error *err);

const char *aesm_path(void);
/* The id of the service's key for ECDSA with P-256. ERR_NOT_FOUND: it has none; ERR_UNAVAILABLE: nobody answers. */
MUST_USE int aesm_key_id(uint8_t ret[AESM_KEY_ID_LEN], struct error *err);
/* Make the key ready; *ret: TARGETINFO of the enclave that quotes, for which the report must be. */
MUST_USE int aesm_init(
	const uint8_t key_id[AESM_KEY_ID_LEN], uint8_t ret[AESM_TARGET_LEN], struct error *err);
/* A quote over a report, appended without what the service adds behind it. ERR_CONFLICT: the key is not ready any more, aesm_init again. ERR_PEER: the quote is over
 * another report's body. */
MUST_USE int aesm_quote(const uint8_t key_id[AESM_KEY_ID_LEN], const uint8_t report[AESM_REPORT_LEN],
	struct buf *out, struct error *err);

#endif
