/*
 * aesm_standin DIR: a quoting service as Intel's, on DIR/aesm.socket, until it is ended: one request a connection, in the service's messages (src/tee/aesm.h). Its
 * quoting enclave checks each report's MAC as the processor of DIR/processor (tests/lib/sgx_processor.h) made it, and signs under a root of its own: DIR/root.hex
 * has the root's key hash, DIR/root.pem its certificate, DIR/collateral what Intel would publish, good now.
 *
 * DIR/service, where it is, says what is wrong from now on, in words: lost (each key is gone once after it was made ready), gone (always), epid (no ECDSA key), other
 * (quotes over another report), cut (answers break off), old (does not know the calls for key ids), error44 (GetQuoteSizeEx: no certificate), silent (closes).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "../lib/intel_maker.h"
#include "../lib/sgx_processor.h"
#include "core/encode.h"

#define ROOM_BEHIND 512 /* a quote is given with the room that was asked for */
#define KEY_HASH_LEN_ECDSA 32
#define NEED(x)                                                                                              \
	do {                                                                                                 \
		if (!(x)) {                                                                                  \
			fprintf(stderr, "aesm_standin: not done: %s (%s)\n", #x, strerror(errno));           \
			exit(125);                                                                           \
		}                                                                                            \
	} while (0)

enum { PARAMETER_ERROR = 3, UNSUPPORTED_KEY = 38, NO_CERTIFICATE = 44, INVALID_REPORT = 47 };

static const char *dir;
static struct intel_recipe intel;
static struct sgx_processor processor;
static uint8_t key_ids[2][AESM_KEY_ID_LEN]; /* EPID, ECDSA */
static bool ready, lost_once;

static void put_file(const char *name, const void *p, size_t n)
{
	char path[4096];
	FILE *f;

	NEED(snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path));
	f = fopen(path, "wb");
	NEED(f && fwrite(p, 1, n, f) == n && fclose(f) == 0);
}

static bool service_is(const char *word)
{
	char path[4096], text[256] = "";
	FILE *f;

	NEED(snprintf(path, sizeof(path), "%s/service", dir) < (int)sizeof(path));
	f = fopen(path, "r");
	if (!f)
		return false;
	NEED(fread(text, 1, sizeof(text) - 1, f) < sizeof(text) - 1 && fclose(f) == 0);
	return strstr(text, word) != NULL;
}

static void start_intel(void)
{
	struct intel_made m;
	char hex[65], path[4096];

	intel_recipe_init(&intel, TEE_SGX, 3, false);
	intel_recipe_at(&intel, (uint64_t)time(NULL));
	for (int i = 0; i < CERT_COUNT; i++)
		NEED(intel.cert[i].key = EVP_EC_gen("P-256"));
	intel_make(&intel, &m);
	put_file("collateral", m.collateral.data, m.collateral.len);
	put_file("root.pem", m.root_pem.data, m.root_pem.len);
	hex_encode(m.root, 32, hex);
	put_file("root.hex", hex, 64);
	intel_made_free(&m);
	NEED(snprintf(path, sizeof(path), "%s/processor", dir) < (int)sizeof(path));
	sgx_processor_open(&processor, path);
	for (int i = 0; i < 2; i++) {
		key_ids[i][4] = 32; /* length of the signer's measurement, and the signer */
		memcpy(key_ids[i] + 6, intel.qe.mr_signer, 32);
		key_ids[i][54] = 1;
		key_ids[i][AESM_ALGORITHM_AT] = i == 0 ? 0 : 2;
	}
}

/* --- messages --- */

struct message {
	struct bytes value[32]; /* fields of bytes */
	uint64_t number[32]; /* fields of numbers */
	bool there[32];
};

static uint64_t varint(struct rd *r)
{
	uint64_t v = 0;
	uint8_t byte = 0x80;

	for (unsigned int shift = 0; shift < 64 && (byte & 0x80); shift += 7) {
		byte = rd_u8(r);
		v |= (uint64_t)(byte & 0x7f) << shift;
	}
	return v;
}

static bool read_message(struct bytes in, struct message *ret)
{
	struct rd r;

	memset(ret, 0, sizeof(*ret));
	rd_init(&r, in.p, in.n);
	while (r.left > 0 && !r.failed) {
		uint64_t tag = varint(&r), n;

		if (tag >> 3 >= 32)
			return false;
		ret->there[tag >> 3] = true;
		if ((tag & 7) == 0) {
			ret->number[tag >> 3] = varint(&r);
		} else if ((tag & 7) == 2) {
			n = varint(&r);
			ret->value[tag >> 3] = (struct bytes){rd_bytes(&r, n), n};
		} else {
			return false;
		}
	}
	return !r.failed;
}

static void put_varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_put_u8(b, (uint8_t)(v | 0x80));
	buf_put_u8(b, (uint8_t)v);
}

static void put_number(struct buf *b, unsigned int field, uint64_t v)
{
	put_varint(b, field << 3);
	put_varint(b, v);
}

static void put_bytes(struct buf *b, unsigned int field, const void *p, size_t n)
{
	put_varint(b, field << 3 | 2);
	put_varint(b, n);
	buf_put(b, p, n);
}

/* --- calls --- */

static bool known_key(struct bytes id)
{
	return id.n == AESM_KEY_ID_LEN && !service_is("epid") && memcmp(id.p, key_ids[1], id.n) == 0;
}

/* Error number, then the call's own fields. */
static void init_quote(const struct message *m, struct buf *out)
{
	uint8_t target[AESM_TARGET_LEN] = {0}, key_hash[KEY_HASH_LEN_ECDSA] = {0};

	if (!known_key(m->value[1]) || !m->there[3]) {
		put_number(out, 1, m->there[3] ? UNSUPPORTED_KEY : PARAMETER_ERROR);
		return;
	}
	if (!m->number[3]) { /* the size of the public key only */
		put_number(out, 1, 0);
		put_number(out, 3, sizeof(key_hash));
		return;
	}
	if (m->number[4] != sizeof(key_hash)) {
		put_number(out, 1, PARAMETER_ERROR);
		return;
	}
	memcpy(target, intel.qe.mr_enclave, 32);
	memcpy(target + 32, intel.qe.attributes, 16);
	ready = true;
	put_number(out, 1, 0);
	put_bytes(out, 2, target, sizeof(target));
	put_number(out, 3, sizeof(key_hash));
	put_bytes(out, 4, key_hash, sizeof(key_hash));
}

static void make_quote(const struct sgx_report *body, struct buf *out)
{
	struct intel_recipe r = intel;
	struct intel_made m;

	r.enclave = *body;
	if (service_is("other"))
		r.enclave.mr_enclave[0] ^= 1;
	intel_make(&r, &m);
	buf_put(out, m.quote.data, m.quote.len);
	intel_made_free(&m);
}

static void quote_size(const struct message *m, struct buf *out)
{
	struct buf q;

	if (service_is("error44") || !known_key(m->value[1])) {
		put_number(out, 1, service_is("error44") ? NO_CERTIFICATE : UNSUPPORTED_KEY);
		return;
	}
	buf_init(&q, AESM_MESSAGE_MAX);
	make_quote(&intel.enclave, &q);
	put_number(out, 1, 0);
	put_number(out, 2, q.len + ROOM_BEHIND);
	buf_free(&q);
}

static uint64_t quote_error(const struct message *m)
{
	struct sgx_report_mac report;

	if (!known_key(m->value[2]))
		return UNSUPPORTED_KEY;
	if (service_is("gone") || (service_is("lost") && !lost_once) || !ready) {
		lost_once = true;
		ready = false;
		return AESM_KEY_NOT_INITIALIZED;
	}
	if (m->value[1].n != sizeof(report))
		return PARAMETER_ERROR;
	memcpy(&report, m->value[1].p, sizeof(report));
	return sgx_processor_check(&processor, &report, intel.qe.mr_enclave) ? 0 : INVALID_REPORT;
}

static void quote(const struct message *m, struct buf *out)
{
	uint64_t error = quote_error(m), room = m->number[4];
	struct buf q;

	if (error) {
		put_number(out, 1, error);
		return;
	}
	buf_init(&q, AESM_MESSAGE_MAX);
	make_quote((const struct sgx_report *)m->value[1].p, &q);
	if (q.len > room) {
		put_number(out, 1, PARAMETER_ERROR);
	} else {
		while (q.len < room)
			buf_put_u8(&q, 0);
		put_number(out, 1, 0);
		put_bytes(out, 2, q.data, q.len);
	}
	buf_free(&q);
}

static void answer(struct bytes request, struct buf *out)
{
	static const unsigned int calls[] = {
		AESM_INIT_QUOTE, AESM_QUOTE_SIZE, AESM_QUOTE, AESM_KEY_COUNT, AESM_KEYS};
	size_t keys = service_is("epid") ? 1 : 2;
	struct message all, one;
	unsigned int call = 0;
	struct buf body;

	NEED(read_message(request, &all));
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (all.there[calls[i]])
			call = calls[i];
	NEED(read_message(all.value[call], &one));
	buf_init(&body, AESM_MESSAGE_MAX);
	if (!call || (service_is("old") && call >= AESM_KEY_COUNT)) {
		put_number(&body, 1, 1);
		call = AESM_UNSUPPORTED;
	} else if (call == AESM_INIT_QUOTE) {
		init_quote(&one, &body);
	} else if (call == AESM_QUOTE_SIZE) {
		quote_size(&one, &body);
	} else if (call == AESM_QUOTE) {
		quote(&one, &body);
	} else {
		put_number(&body, 1,
			call == AESM_KEYS && one.number[1] != keys * AESM_KEY_ID_LEN ? PARAMETER_ERROR : 0);
		if (call == AESM_KEY_COUNT)
			put_number(&body, 2, keys);
		else
			put_bytes(&body, 2, key_ids, keys * AESM_KEY_ID_LEN);
	}
	put_bytes(out, call, body.data, body.len);
	buf_free(&body);
}

static bool receive_all(int s, uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t got = recv(s, p, n, 0);

		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

static void serve(int s)
{
	static uint8_t request[AESM_MESSAGE_MAX];
	uint8_t length[4];
	struct buf out;
	size_t n;

	if (service_is("silent") || !receive_all(s, length, 4))
		return;
	n = intel_u32(length);
	if (n > sizeof(request) || !receive_all(s, request, n))
		return;
	buf_init(&out, 2 * AESM_MESSAGE_MAX);
	answer((struct bytes){request, n}, &out);
	NEED(!out.failed);
	for (int i = 0; i < 4; i++)
		length[i] = (uint8_t)(out.len >> 8 * i);
	(void)send(s, length, 4, MSG_NOSIGNAL);
	(void)send(s, out.data, service_is("cut") ? out.len / 2 : out.len, MSG_NOSIGNAL);
	buf_free(&out);
}

int main(int argc, char **argv)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int listener;

	if (argc != 2)
		return 2;
	dir = argv[1];
	start_intel();
	NEED(snprintf(a.sun_path, sizeof(a.sun_path), "%s/aesm.socket", dir) < (int)sizeof(a.sun_path));
	(void)unlink(a.sun_path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	NEED(listener >= 0 && bind(listener, (struct sockaddr *)&a, sizeof(a)) == 0 &&
		listen(listener, 8) == 0);
	for (;;) {
		int s = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (s < 0)
			continue;
		serve(s);
		close(s);
	}
}
