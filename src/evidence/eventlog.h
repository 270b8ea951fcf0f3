/*
 * eventlog: the firmware's log of what it measured (TCG "PC Client Platform Firmware Profile", crypto-agile log, TCG_PCR_EVENT2), and the
 * register values that follow from it. No I/O, no allocation.
 *
 * All integers little endian. The log is not signed: it is believed as far as its replay gives registers that a quote confirms.
 */
#ifndef SCONE_EVIDENCE_EVENTLOG_H
#define SCONE_EVIDENCE_EVENTLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"
#include "evidence/bundle.h"
#include "evidence/tpm_wire.h"

#define EVENTLOG_MAX (512 * 1024) /* bytes */
#define EVENTLOG_DATA_MAX (256 * 1024) /* bytes of one event */
#define EVENTLOG_ALG_MAX 8

#define EV_NO_ACTION 0x00000003u
#define EV_SEPARATOR 0x00000004u

/* Banks that are replayed, in this order. */
enum { EVENTLOG_SHA256, EVENTLOG_SHA384, EVENTLOG_BANKS };
uint16_t eventlog_bank_alg(size_t bank);

/* Registers that firmware and boot loader alone extend: a log must lead to exactly the quoted values of these. The operating system extends the
 * others, too, and logs that elsewhere. */
#define EVENTLOG_STRICT_PCRS 0x43ffu /* 0 to 9 and 14 */

struct eventlog {
	struct rd in;
	uint16_t alg[EVENTLOG_ALG_MAX]; /* of the header, in its order */
	uint16_t len[EVENTLOG_ALG_MAX];
	size_t alg_count;
	size_t number; /* of the event that comes next; the header is 0 */
};

struct eventlog_event {
	size_t number;
	uint32_t pcr, type;
	const uint8_t *digest[EVENTLOG_BANKS]; /* NULL: the log has no such bank */
	struct bytes data;
};

/* Take the header. Refusals: CHECK_EVENT_LOG_FORMAT. p must outlive *ret. */
MUST_USE int eventlog_open(const uint8_t *p, size_t n, struct eventlog *ret, struct error *err);
/* 1: *ret is the next event; 0: the log has ended; -1: CHECK_EVENT_LOG_FORMAT. */
MUST_USE int eventlog_next(struct eventlog *log, struct eventlog_event *ret, struct error *err);

struct eventlog_replay {
	bool bank[EVENTLOG_BANKS]; /* the log has it */
	uint8_t pcr[EVENTLOG_BANKS][TPM_PCR_COUNT][48]; /* final values; 32 bytes used for SHA-256 */
	uint32_t extended; /* bit n: PCR n was */
	size_t events;
};
/* Replay all of it from the state after a reset: zeros, ones in PCRs 17 to 22, the start-up locality in PCR 0. CHECK_EVENT_LOG when a separator does not
 * hold its digest or says that the firmware failed. */
MUST_USE int eventlog_replay(const uint8_t *p, size_t n, struct eventlog_replay *ret, struct error *err);

#endif
