#include "cas/trust.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/log.h"
#include "crypto/hash.h"
#include "evidence/chain.h"
#include "evidence/collateral.h"
#include "evidence/collateral_item.h"
#include "wire/collateral_dir.h"

#define LOOK_SECONDS 5 /* how often the files are looked at, at most */
#define SOON ((uint64_t)7 * 24 * 3600)
#define STAMP_MAX (1024 * 1024)

struct trust {
	const struct trust_options *o; /* borrowed */
	struct collateral *collateral;
	uint8_t stamp[SHA256_LEN]; /* of the files that were read, or tried last */
	uint64_t looked; /* monotonic */
	struct trust_root *roots; /* test roots, then enrolled attestation keys */
	size_t root_count;
	atomic_bool reread;
};

static void put_stat(struct buf *b, const char *name, const struct stat *st)
{
	buf_put_block(b, name, strlen(name));
	buf_put_u64be(b, (uint64_t)st->st_ino);
	buf_put_u64be(b, (uint64_t)st->st_size);
	buf_put_u64be(b, (uint64_t)st->st_mtim.tv_sec);
	buf_put_u64be(b, (uint64_t)st->st_mtim.tv_nsec);
	buf_put_u64be(b, (uint64_t)st->st_ctim.tv_sec);
	buf_put_u64be(b, (uint64_t)st->st_ctim.tv_nsec);
}

/* What names, sizes and times say; files that cannot be looked at are left to who reads them. */
static void stamp_of(const char *path, uint8_t ret[SHA256_LEN])
{
	struct dirent **list = NULL;
	struct stat st;
	struct buf b;
	int n = -1;

	buf_init(&b, STAMP_MAX);
	if (!stat(path, &st)) {
		if (S_ISDIR(st.st_mode))
			n = scandir(path, &list, NULL, alphasort);
		else
			put_stat(&b, "", &st);
	}
	for (int i = 0; i < n; i++) {
		int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (dir >= 0 && list[i]->d_name[0] != '.' && !fstatat(dir, list[i]->d_name, &st, 0))
			put_stat(&b, list[i]->d_name, &st);
		if (dir >= 0)
			close(dir);
		free(list[i]);
	}
	free(list);
	sha256(b.data, b.len, ret);
	buf_free(&b);
}

static void tell_dates(const struct collateral *c, uint64_t now)
{
	for (size_t i = 0; i < collateral_items(c); i++) {
		struct collateral_item item;
		char until[32];

		collateral_item(c, i, &item);
		chain_time_text(item.until, until, sizeof(until));
		if (item.until < now)
			log_warn("collateral: %s expired at %s: evidence that needs it is refused; fetch it "
				 "again (docs/evidence.md) and `scone collateral import`",
				item.what, until);
		else if (item.until < now + SOON)
			log_warn("collateral: %s expires at %s; fetch it again (docs/evidence.md) and `scone "
				 "collateral import`",
				item.what, until);
	}
}

static int read_collateral(struct trust *t, uint64_t now, struct error *err)
{
	struct collateral *c = collateral_new();

	if (!c)
		return error_set(err, ERR_NOMEM, "out of memory");
	stamp_of(t->o->collateral, t->stamp);
	if (collateral_load(c, t->o->collateral, err)) {
		collateral_free(c);
		return error_wrap(err, "collateral");
	}
	collateral_free(t->collateral);
	t->collateral = c;
	log_info("collateral: %zu documents and lists from %s", collateral_items(c), t->o->collateral);
	tell_dates(c, now);
	return 0;
}

int trust_open(const struct trust_options *o, uint64_t now, struct trust **ret, struct error *err)
{
	struct trust *t = calloc(1, sizeof(*t));

	if (!t)
		return error_set(err, ERR_NOMEM, "out of memory");
	t->o = o;
	if (trust_set_enrolled(t, NULL, 0, err) || (o->collateral && read_collateral(t, now, err))) {
		trust_close(t);
		return -1;
	}
	for (size_t i = 0; i < o->test_root_count; i++)
		log_warn("--test-root: evidence of type %s is believed under a root that is not its maker's: "
			 "for tests only, anyone with that key makes such evidence",
			tee_type_name(o->test_roots[i].tee));
	*ret = t;
	return 0;
}

void trust_close(struct trust *t)
{
	if (!t)
		return;
	collateral_free(t->collateral);
	free(t->roots);
	free(t);
}

const struct trust_options *trust_options(const struct trust *t)
{
	return t->o;
}

void trust_reread(struct trust *t)
{
	atomic_store(&t->reread, true);
}

void trust_refresh(struct trust *t, uint64_t now, uint64_t monotonic)
{
	bool asked = atomic_exchange(&t->reread, false);
	uint8_t stamp[SHA256_LEN];
	struct error err = {0};

	if (!t->o->collateral || (!asked && monotonic - t->looked < LOOK_SECONDS))
		return;
	t->looked = monotonic;
	stamp_of(t->o->collateral, stamp);
	if (!asked && !memcmp(stamp, t->stamp, sizeof(stamp)))
		return;
	if (read_collateral(t, now, &err))
		log_error("%s; what was read before stays in use", err.text);
}

int trust_set_enrolled(struct trust *t, const uint8_t (*keys)[32], size_t n, struct error *err)
{
	size_t count = t->o->test_root_count + n;
	struct trust_root *roots = calloc(count ? count : 1, sizeof(*roots));

	if (!roots)
		return error_set(err, ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < t->o->test_root_count; i++)
		roots[i] = t->o->test_roots[i];
	for (size_t i = 0; i < n; i++) {
		roots[t->o->test_root_count + i].tee = TEE_TPM;
		memcpy(roots[t->o->test_root_count + i].key_hash, keys[i], 32);
	}
	free(t->roots);
	t->roots = roots;
	t->root_count = count;
	return 0;
}

void trust_context(const struct trust *t, struct verify_context *ret)
{
	ret->collateral = t->collateral;
	ret->roots = t->roots;
	ret->root_count = t->root_count;
	ret->min_tcb_evaluation_number = t->o->min_tcb_evaluation;
}

void trust_enrol_context(const struct trust *t, struct verify_context *ret)
{
	ret->collateral = t->collateral;
	ret->roots = t->o->tpm_roots;
	ret->root_count = t->o->tpm_root_count;
}

void trust_warnings(const struct trust *t, uint64_t now, json_t *list)
{
	for (size_t i = 0; i < t->o->test_root_count; i++)
		json_array_append_new(
			list, json_sprintf("this CAS believes evidence of type %s under a test root: whoever "
					   "has that root's key can make it",
				      tee_type_name(t->o->test_roots[i].tee)));
	for (size_t i = 0; t->collateral && i < collateral_items(t->collateral); i++) {
		struct collateral_item item;

		collateral_item(t->collateral, i, &item);
		if (item.until < now)
			json_array_append_new(list,
				json_sprintf("collateral has expired: %s; evidence that needs it is refused",
					item.what));
	}
}
