#include "evidence/eventlog.h"

#include <string.h>
#include "crypto/key_scheme.h"
#include "evidence/check.h"

#define SPEC_ID "Spec ID Event03"
#define LOCALITY "StartupLocality"
#define SHA1_LEN 20
#define DIGEST_LEN_MAX 64
#define NO_PCR 0xffffffffu /* of an event that is in no register */
#define LOCALITY_MAX 4
#define FIRST_ONES_PCR 17
#define LAST_ONES_PCR 22

static const struct {
	uint16_t alg;
	size_t len;
} banks[EVENTLOG_BANKS] = {
	[EVENTLOG_SHA256] = {TPM_ALG_SHA256, 32},
	[EVENTLOG_SHA384] = {TPM_ALG_SHA384, 48},
};

uint16_t eventlog_bank_alg(size_t bank)
{
	return bank < EVENTLOG_BANKS ? banks[bank].alg : 0;
}

static uint16_t le16(struct rd *r)
{
	uint16_t v = rd_u16be(r);

	return (uint16_t)(v << 8 | v >> 8);
}

static uint32_t le32(struct rd *r)
{
	return __builtin_bswap32(rd_u32be(r));
}

static int malformed(struct error *err, size_t number, const char *what)
{
	return evidence_refuse(err, CHECK_EVENT_LOG_FORMAT, "event log: event %zu %s", number, what);
}

/* TCG_EfiSpecIdEvent: signature, platform class, versions, size of UINTN, algorithms with their lengths, vendor's bytes. */
static int read_spec(struct rd *r, struct eventlog *log, struct error *err)
{
	const uint8_t *signature = rd_bytes(r, sizeof(SPEC_ID));
	uint32_t count;
	size_t vendor;

	if (!signature || memcmp(signature, SPEC_ID, sizeof(SPEC_ID)) != 0)
		return malformed(err, 0, "is not \"" SPEC_ID "\", the header of a crypto-agile log");
	(void)rd_bytes(r, 8); /* platform class, versions, size of UINTN */
	count = le32(r);
	if (r->failed || count == 0 || count > EVENTLOG_ALG_MAX)
		return malformed(err, 0, "lists no algorithms, or more than are taken");
	for (uint32_t i = 0; i < count; i++) {
		uint16_t alg = le16(r), len = le16(r);
		size_t known = tpm_digest_len(alg);

		if (r->failed || len == 0 || len > DIGEST_LEN_MAX || (known && known != len))
			return malformed(err, 0, "gives an algorithm a length that it does not have");
		for (size_t k = 0; k < log->alg_count; k++)
			if (log->alg[k] == alg)
				return malformed(err, 0, "lists an algorithm twice");
		log->alg[log->alg_count] = alg;
		log->len[log->alg_count++] = len;
	}
	vendor = rd_u8(r);
	(void)rd_bytes(r, vendor);
	return rd_done(r) ? 0 : malformed(err, 0, "does not end with the vendor's bytes");
}

int eventlog_open(const uint8_t *p, size_t n, struct eventlog *ret, struct error *err)
{
	struct eventlog log = {.number = 1};
	struct rd spec;
	uint32_t pcr, type, len;
	const uint8_t *data;

	if (n > EVENTLOG_MAX)
		return evidence_refuse(err, CHECK_EVENT_LOG_FORMAT,
			"event log: %zu bytes, at most %d are taken", n, EVENTLOG_MAX);
	rd_init(&log.in, p, n);
	pcr = le32(&log.in);
	type = le32(&log.in);
	(void)rd_bytes(&log.in, SHA1_LEN);
	len = le32(&log.in);
	data = rd_bytes(&log.in, len);
	if (log.in.failed || pcr != 0 || type != EV_NO_ACTION)
		return malformed(err, 0, "is cut off or no EV_NO_ACTION in PCR 0");
	rd_init(&spec, data, len);
	if (read_spec(&spec, &log, err) < 0)
		return -1;
	*ret = log;
	return 0;
}

static int read_digests(struct eventlog *log, struct eventlog_event *ev, struct error *err)
{
	uint32_t count = le32(&log->in), seen = 0;

	if (log->in.failed || count != log->alg_count)
		return malformed(
			err, ev->number, "does not have one digest for each algorithm of the header");
	for (uint32_t i = 0; i < count; i++) {
		uint16_t alg = le16(&log->in);
		const uint8_t *p;
		size_t k = 0;

		while (k < log->alg_count && log->alg[k] != alg)
			k++;
		if (k == log->alg_count || (seen & 1u << k))
			return malformed(err, ev->number, "has a digest that the header does not list");
		seen |= 1u << k;
		p = rd_bytes(&log->in, log->len[k]);
		for (size_t b = 0; b < EVENTLOG_BANKS; b++)
			if (banks[b].alg == alg)
				ev->digest[b] = p;
	}
	return 0;
}

int eventlog_next(struct eventlog *log, struct eventlog_event *ret, struct error *err)
{
	struct eventlog_event ev = {.number = log->number};

	if (log->in.left == 0)
		return 0;
	ev.pcr = le32(&log->in);
	ev.type = le32(&log->in);
	if (read_digests(log, &ev, err) < 0)
		return -1;
	ev.data.n = le32(&log->in);
	if (ev.data.n > EVENTLOG_DATA_MAX)
		return malformed(err, ev.number, "has more data than is taken");
	ev.data.p = rd_bytes(&log->in, ev.data.n);
	if (log->in.failed)
		return malformed(err, ev.number, "is cut off");
	if (ev.pcr >= TPM_PCR_COUNT && !(ev.pcr == NO_PCR && ev.type == EV_NO_ACTION))
		return malformed(err, ev.number, "is of a register that does not exist");
	log->number++;
	*ret = ev;
	return 1;
}

static enum hash_alg bank_hash(size_t bank)
{
	return bank == EVENTLOG_SHA256 ? HASH_SHA256 : HASH_SHA384;
}

/* PCR := H(PCR || digest) */
static void extend(struct eventlog_replay *r, const struct eventlog_event *ev)
{
	for (size_t b = 0; b < EVENTLOG_BANKS; b++) {
		uint8_t both[2 * 48];

		if (!ev->digest[b])
			continue;
		memcpy(both, r->pcr[b][ev->pcr], banks[b].len);
		memcpy(both + banks[b].len, ev->digest[b], banks[b].len);
		hash_bytes(bank_hash(b), both, 2 * banks[b].len, r->pcr[b][ev->pcr]);
	}
	r->extended |= 1u << ev->pcr;
}

/* The locality from which the TPM was started is PCR 0's first value. */
static int startup_locality(struct eventlog_replay *r, const struct eventlog_event *ev, struct error *err)
{
	uint8_t locality;

	if (ev->data.n != sizeof(LOCALITY) + 1 || memcmp(ev->data.p, LOCALITY, sizeof(LOCALITY)) != 0)
		return 0;
	locality = ev->data.p[sizeof(LOCALITY)];
	if (locality > LOCALITY_MAX || (r->extended & 1u))
		return malformed(
			err, ev->number, "is a start-up locality above 4 or after PCR 0 was extended");
	for (size_t b = 0; b < EVENTLOG_BANKS; b++)
		r->pcr[b][0][banks[b].len - 1] = locality;
	return 0;
}

/* A separator ends the firmware's part of a register; 1 in it says that the firmware failed and went on. */
static int check_separator(const struct eventlog_event *ev, struct error *err)
{
	static const uint8_t zeros[4], ones[4] = {0xff, 0xff, 0xff, 0xff};
	uint8_t digest[48];

	for (size_t b = 0; b < EVENTLOG_BANKS; b++) {
		if (!ev->digest[b])
			continue;
		hash_bytes(bank_hash(b), ev->data.p, ev->data.n, digest);
		if (memcmp(digest, ev->digest[b], banks[b].len) != 0)
			return evidence_refuse(err, CHECK_EVENT_LOG,
				"event log: separator of PCR %u (event %zu) has a digest that is not its "
				"data's",
				ev->pcr, ev->number);
	}
	if (ev->data.n != 4 || (memcmp(ev->data.p, zeros, 4) != 0 && memcmp(ev->data.p, ones, 4) != 0))
		return evidence_refuse(err, CHECK_EVENT_LOG,
			"event log: separator of PCR %u (event %zu) says that the firmware failed, wanted "
			"00000000 or ffffffff",
			ev->pcr, ev->number);
	return 0;
}

int eventlog_replay(const uint8_t *p, size_t n, struct eventlog_replay *ret, struct error *err)
{
	struct eventlog_replay r = {0};
	struct eventlog log;
	struct eventlog_event ev;
	int more;

	if (eventlog_open(p, n, &log, err) < 0)
		return -1;
	for (size_t b = 0; b < EVENTLOG_BANKS; b++) {
		for (size_t i = 0; i < log.alg_count; i++)
			r.bank[b] |= log.alg[i] == banks[b].alg;
		for (size_t i = FIRST_ONES_PCR; i <= LAST_ONES_PCR; i++)
			memset(r.pcr[b][i], 0xff, banks[b].len);
	}
	while ((more = eventlog_next(&log, &ev, err)) > 0) {
		r.events++;
		if (ev.type == EV_NO_ACTION) {
			if (startup_locality(&r, &ev, err) < 0)
				return -1;
			continue;
		}
		if (ev.type == EV_SEPARATOR && check_separator(&ev, err) < 0)
			return -1;
		extend(&r, &ev);
	}
	if (more < 0)
		return -1;
	*ret = r;
	return 0;
}
