#include "cas/proposal.h"

#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "policy/session.h"

#define FORMAT 1
#define TEXT_MAX 4096

const char *proposal_state_name(enum proposal_state s)
{
	static const char *const names[] = {
		"", "open", "passed", "refused", "expired", "void", "withdrawn", "used"};

	return names[s];
}

void proposal_init(struct proposal *p)
{
	memset(p, 0, sizeof(*p));
	buf_init_secret(&p->text, SESSION_TEXT_MAX);
}

void proposal_free(struct proposal *p)
{
	free((char *)p->subject.session);
	free((char *)p->subject.importer);
	for (size_t i = 0; i < p->subject.item_count; i++)
		free(p->subject.items[i]);
	free((void *)p->subject.items);
	for (size_t i = 0; i < p->vote_count; i++) {
		free(p->votes[i].member);
		free(p->votes[i].signer);
		free(p->votes[i].signature);
	}
	free(p->votes);
	buf_free(&p->text);
	proposal_init(p);
}

static int no_memory(struct error *err)
{
	return error_set(err, ERR_NOMEM, "out of memory for a proposal");
}

int proposal_set_texts(struct proposal *p, const char *session, const char *importer, struct error *err)
{
	p->subject.session = strdup(session);
	p->subject.importer = importer ? strdup(importer) : NULL;
	return p->subject.session && (!importer || p->subject.importer) ? 0 : no_memory(err);
}

int proposal_add_item(struct proposal *p, const char *item, struct error *err)
{
	char **grown;

	if (p->subject.item_count == BOARD_ITEMS_MAX)
		return error_set(err, ERR_LIMIT, "more than %d items in one proposal", BOARD_ITEMS_MAX);
	grown = realloc((void *)p->subject.items, (p->subject.item_count + 1) * sizeof(*grown));
	if (!grown)
		return no_memory(err);
	p->subject.items = grown;
	grown[p->subject.item_count] = strdup(item);
	if (!grown[p->subject.item_count])
		return no_memory(err);
	p->subject.item_count++;
	return 0;
}

struct proposal_vote *proposal_add_vote(struct proposal *p, const char *member)
{
	struct proposal_vote *grown = realloc(p->votes, (p->vote_count + 1) * sizeof(*grown)), *v;

	if (!grown)
		return NULL;
	p->votes = grown;
	v = &grown[p->vote_count];
	memset(v, 0, sizeof(*v));
	v->member = strdup(member);
	v->signer = strdup("");
	v->signature = strdup("");
	if (!v->member || !v->signer || !v->signature) {
		free(v->member);
		free(v->signer);
		free(v->signature);
		return NULL;
	}
	p->vote_count++;
	return v;
}

void proposal_record_name(const char *session, const uint8_t id[BOARD_ID_LEN], struct buf *out)
{
	char hex[PROPOSAL_ID_HEX + 1];

	hex_encode(id, BOARD_ID_LEN, hex);
	buf_printf(out, "%s@%s", session, hex);
}

/* --- the record --- */

static void put_text(struct buf *out, const char *s)
{
	buf_put_block(out, s, strlen(s));
}

int proposal_encode(const struct proposal *p, struct buf *out, struct error *err)
{
	const struct board_subject *q = &p->subject;

	buf_put_u8(out, FORMAT);
	buf_put_u8(out, (uint8_t)q->action);
	buf_put_u8(out, (uint8_t)p->state);
	buf_put(out, q->id, sizeof(q->id));
	put_text(out, q->session);
	buf_put(out, q->current, sizeof(q->current));
	buf_put(out, q->bound, sizeof(q->bound));
	put_text(out, q->importer ? q->importer : "");
	buf_put_u32be(out, (uint32_t)q->item_count);
	for (size_t i = 0; i < q->item_count; i++)
		put_text(out, q->items[i]);
	buf_put_u64be(out, p->created);
	buf_put_u64be(out, q->expires);
	buf_put_u64be(out, p->ended);
	buf_put(out, p->asker, sizeof(p->asker));
	buf_put_u8(out, (uint8_t)p->signer_count);
	buf_put(out, p->signers, p->signer_count * sizeof(p->signers[0]));
	buf_put(out, p->creator, sizeof(p->creator));
	buf_put_u8(out, p->creator_signs);
	buf_put_block(out, p->text.data, p->text.len);
	buf_put_u32be(out, (uint32_t)p->vote_count);
	for (size_t i = 0; i < p->vote_count; i++) {
		const struct proposal_vote *v = &p->votes[i];

		put_text(out, v->member);
		buf_put_u8(out, (uint8_t)v->choice);
		buf_put_u8(out, (uint8_t)v->how);
		buf_put_u64be(out, v->time);
		buf_put(out, v->key, sizeof(v->key));
		put_text(out, v->signer);
		put_text(out, v->signature);
	}
	return out->failed ? error_set(err, ERR_LIMIT, "the proposal does not fit into one record") : 0;
}

static char *get_text(struct rd *r)
{
	size_t n = 0;
	const uint8_t *p = rd_block(r, TEXT_MAX, &n);
	char *s = p ? strndup((const char *)p, n) : NULL;

	if (!s)
		r->failed = true;
	return s;
}

static void get_bytes(struct rd *r, void *ret, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);

	if (p)
		memcpy(ret, p, n);
}

static void get_items(struct rd *r, struct proposal *p)
{
	uint32_t n = rd_u32be(r);

	for (uint32_t i = 0; i < n && !r->failed; i++) {
		char *item = get_text(r);

		if (item && proposal_add_item(p, item, NULL))
			r->failed = true;
		free(item);
	}
}

static void get_vote(struct rd *r, struct proposal *p)
{
	char *member = get_text(r);
	struct proposal_vote *v = member ? proposal_add_vote(p, member) : NULL;

	free(member);
	if (!v) {
		r->failed = true;
		return;
	}
	v->choice = rd_u8(r);
	v->how = rd_u8(r);
	v->time = rd_u64be(r);
	get_bytes(r, v->key, sizeof(v->key));
	free(v->signer);
	free(v->signature);
	v->signer = get_text(r);
	v->signature = get_text(r);
	if ((v->choice != CHOICE_APPROVE && v->choice != CHOICE_REJECT) || v->how < VOTE_SIGNED ||
		v->how > VOTE_PROGRAM)
		r->failed = true;
}

static void get_subject(struct rd *r, struct proposal *p)
{
	struct board_subject *q = &p->subject;
	char *importer;

	q->action = rd_u8(r);
	p->state = rd_u8(r);
	get_bytes(r, q->id, sizeof(q->id));
	q->session = get_text(r);
	get_bytes(r, q->current, sizeof(q->current));
	get_bytes(r, q->bound, sizeof(q->bound));
	importer = get_text(r);
	if (importer && *importer)
		q->importer = importer;
	else
		free(importer);
	get_items(r, p);
	p->created = rd_u64be(r);
	q->expires = rd_u64be(r);
	p->ended = rd_u64be(r);
	if (q->action >= BOARD_ACTIONS || p->state < PROPOSAL_OPEN || p->state > PROPOSAL_USED)
		r->failed = true;
}

static void get_asker(struct rd *r, struct proposal *p)
{
	const uint8_t *text;
	size_t n = 0;

	get_bytes(r, p->asker, sizeof(p->asker));
	p->signer_count = rd_u8(r);
	if (p->signer_count > ACCESS_SIGNERS_MAX) {
		p->signer_count = 0;
		r->failed = true;
		return;
	}
	get_bytes(r, p->signers, p->signer_count * sizeof(p->signers[0]));
	get_bytes(r, p->creator, sizeof(p->creator));
	p->creator_signs = rd_u8(r) != 0;
	text = rd_block(r, SESSION_TEXT_MAX, &n);
	if (text)
		buf_put(&p->text, text, n);
}

int proposal_decode(const void *bytes, size_t n, struct proposal *ret, struct error *err)
{
	struct proposal p;
	uint32_t votes;
	struct rd r;

	proposal_init(&p);
	rd_init(&r, bytes, n);
	if (rd_u8(&r) != FORMAT)
		r.failed = true;
	get_subject(&r, &p);
	get_asker(&r, &p);
	votes = rd_u32be(&r);
	for (uint32_t i = 0; i < votes && !r.failed; i++)
		get_vote(&r, &p);
	if (!rd_done(&r) || p.text.failed) {
		proposal_free(&p);
		return error_set(err, ERR_INTERNAL, "stored proposal of %zu bytes is not understood", n);
	}
	*ret = p;
	return 0;
}

int proposal_load(struct sealed_store *ss, const char *record, struct proposal *ret, struct error *err)
{
	struct buf b;
	int rc;

	buf_init_secret(&b, SEALED_CONTENT_MAX);
	rc = sealed_store_get(ss, TABLE_PROPOSAL, record, &b, err);
	if (!rc)
		rc = proposal_decode(b.data, b.len, ret, err);
	buf_free(&b);
	return rc;
}

void proposal_names_free(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free((void *)names);
}

/* The name of a session has no '@'. */
int proposal_names(
	struct sealed_store *ss, const char *session, char ***ret, size_t *ret_count, struct error *err)
{
	size_t n = 0, kept = 0, len = session ? strlen(session) : 0;
	char **names = NULL;

	if (sealed_store_names(ss, TABLE_PROPOSAL, &names, &n, err))
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (!session || (!strncmp(names[i], session, len) && names[i][len] == '@'))
			names[kept++] = names[i];
		else
			free(names[i]);
	}
	*ret = names;
	*ret_count = kept;
	return 0;
}

int proposal_find(struct sealed_store *ss, const char *id, char **ret, struct error *err)
{
	char **names = NULL, *found = NULL;
	size_t n = 0;

	if (strlen(id) != PROPOSAL_ID_HEX || strspn(id, "0123456789abcdef") != PROPOSAL_ID_HEX)
		return error_set(err, ERR_INPUT, "\"%.80s\" is no proposal: %d hex digits are wanted", id,
			PROPOSAL_ID_HEX);
	if (proposal_names(ss, NULL, &names, &n, err))
		return -1;
	for (size_t i = 0; i < n; i++) {
		const char *at = strchr(names[i], '@');

		if (at && !strcmp(at + 1, id)) {
			found = names[i];
			names[i] = NULL;
		}
	}
	proposal_names_free(names, n);
	if (!found)
		return error_set(
			err, ERR_NOT_FOUND, "there is no proposal %s, or it is not yours to see", id);
	*ret = found;
	return 0;
}
