/*
 * SEV-SNP and TDX guests by way of the kernel's report interface (Documentation/ABI/testing/configfs-tsm-report, Linux 6.7): a directory made under
 * /sys/kernel/config/tsm/report has files: inblob takes 64 bytes, outblob gives what the hardware signed over them, provider says by which hardware.
 *
 * Each report has a directory of its own, and `generation`, which counts writes, is compared before and after: another process of this machine that
 * writes into the directory between cannot make the report another's unseen.
 *
 * A SEV-SNP guest whose kernel has no such interface asks /dev/sev-guest (sev_guest.h). What seals there is a key of the security processor (snp_seal.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/encode.h"
#include "crypto/hash.h"
#include "evidence/snp_report.h"
#include "tee/configfs_tsm.h"
#include "tee/sev_guest.h"
#include "tee/snp_seal.h"
#include "tee/tee.h"

#define BLOB_MAX (256 * 1024) /* the kernel gives at most 32 KiB for reports, more for certificates */
#define ATTRIBUTE_MAX 64
#define TRIES 5
#define PRIVLEVEL "0" /* VMPL of the report: the guest's kernel runs there, or asks for what it may */

struct configfs {
	struct tee tee;
};

const char *configfs_tsm_root(void)
{
	const char *own = getenv(CONFIGFS_TSM_ENV);

	return own && *own ? own : CONFIGFS_TSM_DEFAULT;
}

/* All of a file of the report's directory, at most max bytes; appended. */
static int read_file(int dir, const char *name, size_t max, struct buf *out, struct error *err)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t got = 1;
	size_t n = 0;

	if (fd < 0)
		return error_set_errno(err, errno, "%s not opened", name);
	while (got > 0 && n <= max) {
		uint8_t *to = buf_reserve(out, 4096);

		if (!to) {
			close(fd);
			return error_set(err, ERR_LIMIT, "%s is longer than %zu bytes", name, max);
		}
		got = read(fd, to, 4096);
		if (got < 0 && errno == EINTR) {
			got = 1;
			continue;
		}
		n += got > 0 ? (size_t)got : 0;
		out->len += got > 0 ? (size_t)got : 0;
	}
	if (got < 0) {
		int failed = errno;

		close(fd);
		return error_set_errno(err, failed, "%s not read", name);
	}
	close(fd);
	return n > max ? error_set(err, ERR_LIMIT, "%s is longer than %zu bytes", name, max) : 0;
}

/* A binary attribute is taken as one write and comes into force when the file is closed. */
static int write_file(int dir, const char *name, const void *p, size_t n, struct error *err)
{
	int fd = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t put;

	if (fd < 0)
		return error_set_errno(err, errno, "%s not opened", name);
	put = write(fd, p, n);
	if (put != (ssize_t)n) {
		int failed = put < 0 ? errno : EIO;

		close(fd);
		return error_set_errno(err, failed, "%zu bytes not written to %s", n, name);
	}
	return close(fd) < 0 ? error_set_errno(err, errno, "%zu bytes not written to %s", n, name) : 0;
}

/* Text of one line, without its end. */
static int read_line(int dir, const char *name, char ret[ATTRIBUTE_MAX], struct error *err)
{
	struct buf b;
	int rc;

	buf_init(&b, 8192);
	rc = read_file(dir, name, ATTRIBUTE_MAX - 1, &b, err);
	if (rc == 0) {
		while (b.len > 0 && b.data[b.len - 1] == '\n')
			b.len--;
		memcpy(ret, b.data, b.len);
		ret[b.len] = '\0';
	}
	buf_free(&b);
	return rc;
}

static int read_generation(int dir, unsigned long *ret, struct error *err)
{
	char text[ATTRIBUTE_MAX], *end;

	if (read_line(dir, "generation", text, err) < 0)
		return -1;
	errno = 0;
	*ret = strtoul(text, &end, 10);
	return end != text && *end == '\0' && errno == 0
		       ? 0
		       : error_set(err, ERR_INPUT, "generation is '%s', wanted a number", text);
}

/* A directory with a name that nobody else uses. *ret is a descriptor of it. */
static int make_report(char name[64], int *ret_root, int *ret, struct error *err)
{
	uint8_t random[8];
	char hex[2 * sizeof(random) + 1];
	int root = open(configfs_tsm_root(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return error_set_errno(err, errno, "%s", configfs_tsm_root());
	if (random_bytes(random, sizeof(random), err) < 0) {
		close(root);
		return -1;
	}
	hex_encode(random, sizeof(random), hex);
	snprintf(name, 64, "openscone-%s", hex);
	if (mkdirat(root, name, 0700) < 0) {
		error_set_errno(err, errno, "%s/%s not made", configfs_tsm_root(), name);
		close(root);
		return -1;
	}
	*ret = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret < 0) {
		error_set_errno(err, errno, "%s/%s not opened", configfs_tsm_root(), name);
		(void)unlinkat(root, name, AT_REMOVEDIR);
		close(root);
		return -1;
	}
	*ret_root = root;
	return 0;
}

static int check_provider(int dir, const char *wanted, struct error *err)
{
	char provider[ATTRIBUTE_MAX];

	if (read_line(dir, "provider", provider, err) < 0)
		return -1;
	return strcmp(provider, wanted) == 0
		       ? 0
		       : error_set(err, ERR_NOT_FOUND, "%s: provider is '%s', wanted '%s'",
				 configfs_tsm_root(), provider, wanted);
}

/* One report. 1: somebody else wrote between. */
static int report_once(int dir, bool privlevel, const uint8_t inblob[REPORT_DATA_LEN], struct buf *outblob,
	struct buf *auxblob, struct error *err)
{
	unsigned long before, after, writes = 1;

	if (read_generation(dir, &before, err) < 0 ||
		write_file(dir, "inblob", inblob, REPORT_DATA_LEN, err) < 0)
		return -1;
	if (privlevel) {
		if (write_file(dir, "privlevel", PRIVLEVEL, 1, err) < 0)
			return -1;
		writes++;
	}
	if (read_file(dir, "outblob", BLOB_MAX, outblob, err) < 0)
		return -1;
	/* The certificates a host gives are optional, and so is the file. */
	if (faccessat(dir, "auxblob", F_OK, 0) == 0 && read_file(dir, "auxblob", BLOB_MAX, auxblob, err) < 0)
		return -1;
	if (read_generation(dir, &after, err) < 0)
		return -1;
	return after == before + writes ? 0 : 1;
}

int configfs_tsm_report(const char *provider, const uint8_t inblob[REPORT_DATA_LEN], struct buf *outblob,
	struct buf *auxblob, struct error *err)
{
	bool snp = strcmp(provider, CONFIGFS_TSM_SNP) == 0;
	char name[64];
	int root, dir, rc;

	if (make_report(name, &root, &dir, err) < 0)
		return error_wrap(err, "configfs-tsm");
	rc = check_provider(dir, provider, err);
	for (int i = 0; rc == 0 && i < TRIES; i++) {
		buf_reset(outblob);
		buf_reset(auxblob);
		rc = report_once(
			dir, snp && faccessat(dir, "privlevel", F_OK, 0) == 0, inblob, outblob, auxblob, err);
		if (rc <= 0)
			break;
		rc = i + 1 < TRIES
			     ? 0
			     : error_set(err, ERR_CONFLICT,
				       "%s/%s: another process wrote between request and report, %d times",
				       configfs_tsm_root(), name, TRIES);
	}
	close(dir);
	if (unlinkat(root, name, AT_REMOVEDIR) < 0 && rc == 0)
		rc = error_set_errno(err, errno, "%s/%s not removed", configfs_tsm_root(), name);
	close(root);
	if (rc == 0 && outblob->len == 0)
		rc = error_set(err, ERR_IO, "%s: outblob is empty", configfs_tsm_root());
	return rc < 0 ? error_wrap(err, "configfs-tsm") : 0;
}

static int probe(const char *provider, const char *what, struct error *err)
{
	char name[64];
	int root, dir, rc;

	if (make_report(name, &root, &dir, err) < 0)
		return error_wrap(err, "tee %s", what);
	rc = check_provider(dir, provider, err);
	close(dir);
	(void)unlinkat(root, name, AT_REMOVEDIR);
	close(root);
	return rc < 0 ? error_wrap(err, "tee %s", what) : 0;
}

static bool has_configfs(void)
{
	return access(configfs_tsm_root(), F_OK) == 0;
}

static int snp_probe(struct error *err)
{
	if (has_configfs())
		return probe(CONFIGFS_TSM_SNP, "snp", err);
	return sev_guest_probe(err) < 0 ? error_wrap(err, "tee snp: there is no %s", configfs_tsm_root()) : 0;
}

static int report_of(const struct tee *t, const uint8_t inblob[REPORT_DATA_LEN], struct buf *outblob,
	struct buf *auxblob, struct error *err)
{
	if (t->ops->type == TEE_TDX)
		return configfs_tsm_report(CONFIGFS_TSM_TDX, inblob, outblob, auxblob, err);
	return has_configfs() ? configfs_tsm_report(CONFIGFS_TSM_SNP, inblob, outblob, auxblob, err)
			      : sev_guest_report(inblob, outblob, auxblob, err);
}

static int tdx_probe(struct error *err)
{
	return probe(CONFIGFS_TSM_TDX, "tdx", err);
}

static int open_with(const struct tee_ops *ops, struct tee **ret, struct error *err)
{
	struct configfs *c = calloc(1, sizeof(*c));

	if (!c)
		return error_set(err, ERR_NOMEM, "no memory");
	c->tee.ops = ops;
	*ret = &c->tee;
	return 0;
}

/* Nothing is kept on the disk. */
static int snp_open(const char *state_dir, struct tee **ret, struct error *err)
{
	return snp_probe(err) < 0 ? -1 : open_with(&tee_snp_ops, ret, err);
}

static int tdx_open(const char *state_dir, struct tee **ret, struct error *err)
{
	return tdx_probe(err) < 0 ? -1 : open_with(&tee_tdx_ops, ret, err);
}

static void configfs_close(struct tee *t)
{
	free(t);
}

static int configfs_quote(
	struct tee *t, const uint8_t report_data[REPORT_DATA_LEN], struct buf *out, struct error *err)
{
	struct evidence e = {.tee = t->ops->type};
	struct buf outblob, auxblob;
	int rc;

	buf_init(&outblob, BLOB_MAX + 4096);
	buf_init(&auxblob, BLOB_MAX + 4096);
	rc = report_of(t, report_data, &outblob, &auxblob, err);
	if (rc == 0) {
		e.item[ITEM_STATEMENT] = (struct bytes){outblob.data, outblob.len};
		if (auxblob.len > 0)
			e.item[ITEM_CERTIFICATES] = (struct bytes){auxblob.data, auxblob.len};
		rc = evidence_write(&e, out, err);
	}
	buf_free(&outblob);
	buf_free(&auxblob);
	return rc < 0 ? error_wrap(err, "tee %s", t->ops->name) : 0;
}

/* What the security processor says of this guest. *outblob holds what *ret points into. */
static int own_report(struct tee *t, struct buf *outblob, struct snp_report *ret, struct error *err)
{
	static const uint8_t nothing[REPORT_DATA_LEN];
	struct buf auxblob;
	int rc;

	buf_init(&auxblob, BLOB_MAX + 4096);
	rc = report_of(t, nothing, outblob, &auxblob, err);
	if (rc == 0)
		rc = snp_report_decode(outblob->data, outblob->len, ret, err);
	buf_free(&auxblob);
	return rc;
}

/* The chip is known by its certificates only, which are the verifier's business; its number stands for it here. */
static int snp_platform(struct tee *t, uint8_t ret[32], struct error *err)
{
	struct snp_report r;
	struct buf outblob;
	int rc;

	buf_init(&outblob, BLOB_MAX + 4096);
	rc = own_report(t, &outblob, &r, err);
	if (rc == 0)
		sha256(r.wire->chip_id, sizeof(r.wire->chip_id), ret);
	buf_free(&outblob);
	return rc;
}

static int snp_tee_seal(
	struct tee *t, const char *label, const void *p, size_t n, struct buf *out, struct error *err)
{
	struct snp_report r;
	struct buf outblob;
	int rc;

	buf_init(&outblob, BLOB_MAX + 4096);
	rc = own_report(t, &outblob, &r, err);
	if (rc == 0)
		rc = snp_seal(r.committed_tcb, label, p, n, out, err);
	buf_free(&outblob);
	return rc < 0 ? error_wrap(err, "tee snp: seal \"%s\"", label) : 0;
}

static int snp_tee_unseal(
	struct tee *t, const char *label, const void *p, size_t n, struct buf *out, struct error *err)
{
	return snp_unseal(label, p, n, out, err) < 0 ? error_wrap(err, "tee snp: unseal \"%s\"", label) : 0;
}

static int tdx_platform(struct tee *t, uint8_t ret[32], struct error *err)
{
	return error_set(err, ERR_NOT_FOUND,
		"tee tdx: a TD does not learn the key of its platform; it is in the quote's certificates");
}

const struct tee_ops tee_snp_ops = {
	.type = TEE_SNP,
	.name = "snp",
	.probe = snp_probe,
	.open = snp_open,
	.close = configfs_close,
	.evidence = tee_quote_workload,
	.quote = configfs_quote,
	.seal = snp_tee_seal,
	.unseal = snp_tee_unseal,
	.platform = snp_platform,
};

const struct tee_ops tee_tdx_ops = {
	.type = TEE_TDX,
	.name = "tdx",
	.probe = tdx_probe,
	.open = tdx_open,
	.close = configfs_close,
	.evidence = tee_quote_workload,
	.quote = configfs_quote,
	.no_seal =
		"a TD has no key that outlives it; CAS runs on it with --join, and gets its key from another "
		"CAS of a shared store at each start",
	.platform = tdx_platform,
};
