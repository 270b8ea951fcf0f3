#include "cas/board_part.h"

#include <stdlib.h>
#include <string.h>
#include "cas/permit.h"
#include "core/encode.h"
#include "core/log.h"
#include "core/secret.h"

/* --- storing --- */

static int no_memory(struct error *err)
{
	return error_set(err, ERR_NOMEM, "out of memory for a proposal");
}

int board_store(const struct board_context *x, const struct proposal *p, const char *event,
	const uint8_t *actor, const char *more, struct error *err)
{
	char id[PROPOSAL_ID_HEX + 1], detail[2 * PROPOSAL_ID_HEX + 2];
	struct audit_note note = {
		.event = event, .actor = actor, .session = p->subject.session, .detail = detail};
	struct buf record, name;
	int rc;

	hex_encode(p->subject.id, BOARD_ID_LEN, id);
	snprintf(detail, sizeof(detail), "%s%s%s", id, more ? " " : "", more ? more : "");
	buf_init_secret(&record, SEALED_CONTENT_MAX);
	buf_init(&name, 1024);
	proposal_record_name(p->subject.session, p->subject.id, &name);
	rc = proposal_encode(p, &record, err);
	if (!rc && !buf_cstr(&name))
		rc = no_memory(err);
	if (!rc) {
		struct sealed_change changes[2] = {{.table = TABLE_PROPOSAL,
			.name = (const char *)name.data,
			.content = record.data,
			.len = record.len}};

		rc = logged_apply(x->store, x->audit, &note, changes, 1, err);
	}
	if (!rc)
		log_info("session \"%s\": %s %s", p->subject.session, event, id);
	buf_free(&record);
	buf_free(&name);
	return rc;
}

/* --- what becomes of a proposal --- */

static void end(const struct board_context *x, struct proposal *p, enum proposal_state state)
{
	p->state = state;
	p->ended = x->now;
}

static int grant_name(const char *exporter, const char *importer, struct buf *out, struct error *err)
{
	buf_printf(out, "%s@%s", exporter, importer);
	return buf_cstr(out) ? 0 : no_memory(err);
}

static int grant_export(const struct board_context *x, const struct proposal *p, struct error *err)
{
	const struct board_subject *q = &p->subject;
	struct buf b, name;
	int rc;

	buf_init(&b, SEALED_CONTENT_MAX);
	buf_init(&name, 2048);
	buf_put_u8(&b, 1);
	buf_put(&b, q->current, sizeof(q->current));
	buf_put(&b, q->bound, sizeof(q->bound));
	buf_put_u32be(&b, (uint32_t)q->item_count);
	for (size_t i = 0; i < q->item_count; i++)
		buf_put_block(&b, q->items[i], strlen(q->items[i]));
	rc = grant_name(q->session, q->importer, &name, err);
	if (!rc && b.failed)
		rc = no_memory(err);
	if (!rc) {
		struct sealed_change changes[2] = {{.table = TABLE_GRANT,
			.name = (const char *)name.data,
			.content = b.data,
			.len = b.len}};

		rc = logged_apply(x->store, x->audit,
			&(struct audit_note){.event = "export-granted", .session = q->session}, changes, 1,
			err);
	}
	buf_free(&b);
	buf_free(&name);
	return rc;
}

static int do_update(const struct board_context *x, const struct proposal *p, struct error *err)
{
	struct decided decided = {.creator = p->creator, .creator_signs = p->creator_signs};
	struct upload u = {.audit = x->audit,
		.text = (const char *)p->text.data,
		.len = p->text.len,
		.who = {.caller = p->asker},
		.now = x->now,
		.decided = &decided};
	struct uploaded done = {0};
	struct diag d;
	int rc;

	diag_init(&d);
	rc = sessions_upload(x->store, &u, &done, &d, err);
	/* What was voted on is what is in force, or nothing is. */
	if (!rc && memcmp(done.hash, p->subject.bound, SESSION_HASH_LEN))
		rc = error_set(err, ERR_INTERNAL,
			"session \"%s\": its document has not the hash that was approved",
			p->subject.session);
	free(done.name);
	diag_free(&d);
	return rc;
}

static int carry_out(const struct board_context *x, struct proposal *p, struct error *err)
{
	struct requester who = {.caller = p->asker};
	char id[PROPOSAL_ID_HEX + 1];
	uint8_t hash[SESSION_HASH_LEN];
	int rc = 0;

	switch (p->subject.action) {
	case BOARD_UPDATE:
		rc = do_update(x, p, err);
		break;
	case BOARD_DELETE:
		/* With the session its proposals go, this one, too. */
		if (sessions_delete(x->store, x->audit, p->subject.session, &who, x->now, true, hash, err))
			return -1;
		end(x, p, PROPOSAL_PASSED);
		hex_encode(p->subject.id, BOARD_ID_LEN, id);
		return audit_write(x->audit,
			&(struct audit_note){
				.event = "proposal-passed", .session = p->subject.session, .detail = id},
			err);
	case BOARD_EXPORT:
		rc = grant_export(x, p, err);
		break;
	default:
		break;
	}
	if (rc)
		return -1;
	end(x, p, PROPOSAL_PASSED);
	return board_store(x, p, "proposal-passed", NULL, NULL, err);
}

/* Is it still the member that voted? */
static bool vote_counts(const struct board_member *m, const struct proposal_vote *v)
{
	if (strcmp(m->name, v->member) != 0 || m->is_key != (v->how != VOTE_PROGRAM))
		return false;
	return !m->is_key || (m->key_known && !memcmp(m->key, v->key, sizeof(v->key)));
}

void board_votes_of(
	const struct board *b, const struct proposal *p, enum board_choice votes[ACCESS_MEMBERS_MAX])
{
	for (size_t i = 0; i < b->count; i++) {
		votes[i] = CHOICE_NONE;
		for (size_t k = 0; k < p->vote_count; k++)
			if (vote_counts(&b->members[i], &p->votes[k]))
				votes[i] = p->votes[k].choice;
	}
}

/* The first line of the board's rule: who asked might still ask. */
static int asker_may(const struct board_context *x, const struct stored_session *s, const struct proposal *p,
	struct error *err)
{
	struct requester who = {.caller = p->asker, .signers = p->signers, .signer_count = p->signer_count};

	if (p->subject.action == BOARD_EXPORT)
		return 0; /* the exporter's own export rule is asked at each use */
	return permit(x->store, x->audit, s, p->subject.action == BOARD_READ ? OP_READ : OP_UPDATE, &who,
		x->now, err);
}

static int settle_open(
	const struct board_context *x, struct proposal *p, const struct stored_session *s, struct error *err)
{
	enum board_choice votes[ACCESS_MEMBERS_MAX];
	enum board_outcome out = OUTCOME_OPEN;
	struct error why = {0};
	struct board b = {0};

	if (memcmp(s->hash, p->subject.current, SESSION_HASH_LEN)) {
		end(x, p, PROPOSAL_VOID);
		return board_store(x, p, "proposal-void", NULL, NULL, err);
	}
	if (x->now >= p->subject.expires) {
		end(x, p, PROPOSAL_EXPIRED);
		return board_store(x, p, "proposal-expired", NULL, NULL, err);
	}
	if (!permit_board(x->store, x->audit, s, x->now, &b, &why)) {
		board_votes_of(&b, p, votes);
		out = board_judge(&b, votes);
	}
	board_clear(&b);
	if (out == OUTCOME_REFUSED) {
		end(x, p, PROPOSAL_REFUSED);
		return board_store(x, p, "proposal-refused", NULL, NULL, err);
	}
	return out == OUTCOME_PASSED && !asker_may(x, s, p, &why) ? carry_out(x, p, err) : 0;
}

int board_settle(const struct board_context *x, struct proposal *p, struct error *err)
{
	struct stored_session s;
	struct error why = {0};
	int rc;

	if (p->state == PROPOSAL_PASSED && p->subject.action == BOARD_READ && x->now >= p->subject.expires) {
		end(x, p, PROPOSAL_EXPIRED);
		return board_store(x, p, "proposal-expired", NULL, NULL, err);
	}
	if (p->state != PROPOSAL_OPEN)
		return 0;
	stored_session_init(&s);
	rc = sessions_load(x->store, p->subject.session, NULL, &s, &why);
	if (!rc)
		rc = settle_open(x, p, &s, err);
	else if (err)
		*err = why;
	stored_session_free(&s);
	return rc;
}

int board_load(const struct board_context *x, const char *record, struct proposal *ret, struct error *err)
{
	struct proposal p;
	struct error why = {0};

	if (proposal_load(x->store, record, &p, err))
		return -1;
	/* A state that cannot be written now is told all the same. */
	if (board_settle(x, &p, &why))
		log_warn("session \"%s\": a proposal is not settled: %s", p.subject.session, why.text);
	*ret = p;
	return 0;
}

int board_get(const struct board_context *x, const char *id, struct proposal *ret, struct error *err)
{
	char *record;
	int rc;

	if (proposal_find(x->store, id, &record, err))
		return -1;
	rc = board_load(x, record, ret, err);
	free(record);
	return rc;
}

int board_withdraw(const struct board_context *x, const char *id, const uint8_t caller[32],
	struct proposal *ret, struct error *err)
{
	struct proposal p;

	if (board_get(x, id, &p, err))
		return -1;
	if (!secret_equal(p.asker, caller, sizeof(p.asker)))
		error_set(err, ERR_ACCESS, "proposal %s: only the key that made it withdraws it", id);
	else if (p.state != PROPOSAL_OPEN)
		error_set(err, ERR_CONFLICT, "proposal %s is %s already [E-BOARD]", id,
			proposal_state_name(p.state));
	else {
		end(x, &p, PROPOSAL_WITHDRAWN);
		if (!board_store(x, &p, "proposal-withdrawn", caller, NULL, err)) {
			*ret = p;
			return 0;
		}
	}
	proposal_free(&p);
	return -1;
}

/* --- who may see it --- */

static bool is_member(const struct board *b, const struct board_viewer *who)
{
	for (size_t i = 0; i < b->count; i++) {
		const struct board_member *m = &b->members[i];

		if (m->is_key && m->key_known && who->caller &&
			secret_equal(m->key, who->caller, sizeof(m->key)))
			return true;
		if (!m->is_key && who->ticket && !strcmp(m->session, who->ticket->session) &&
			!strcmp(m->service, who->ticket->service) &&
			(!m->has_hash || !memcmp(m->hash, who->ticket->hash, sizeof(m->hash))))
			return true;
	}
	return false;
}

enum board_sight board_sight(
	const struct board_context *x, const struct proposal *p, const struct board_viewer *who)
{
	enum board_sight sight = SIGHT_NONE;
	struct stored_session s;
	struct board b = {0};

	stored_session_init(&s);
	if (sessions_load(x->store, p->subject.session, NULL, &s, NULL))
		goto out;
	if (s.doc->board.present && !permit_board(x->store, x->audit, &s, x->now, &b, NULL) &&
		is_member(&b, who))
		sight = SIGHT_ALL;
	else if (who->caller && secret_equal(p->asker, who->caller, sizeof(p->asker)))
		sight = SIGHT_OWN;
	else if (who->caller && !permit(x->store, x->audit, &s, OP_READ,
					&(struct requester){.caller = who->caller}, x->now, NULL))
		sight = SIGHT_STATE;
out:
	board_clear(&b);
	stored_session_free(&s);
	return sight;
}

/* --- what was agreed to --- */

static bool grant_holds(const struct buf *g, const struct stored_session *exporter,
	const struct stored_session *importer, const char *item)
{
	const uint8_t *current, *bound;
	bool found = false;
	uint32_t n;
	struct rd r;

	rd_init(&r, g->data, g->len);
	if (rd_u8(&r) != 1)
		return false;
	current = rd_bytes(&r, SESSION_HASH_LEN);
	bound = rd_bytes(&r, SESSION_HASH_LEN);
	if (!bound || memcmp(current, exporter->hash, SESSION_HASH_LEN) ||
		memcmp(bound, importer->hash, SESSION_HASH_LEN))
		return false;
	n = rd_u32be(&r);
	for (uint32_t i = 0; i < n && !r.failed; i++) {
		size_t len = 0;
		const uint8_t *p = rd_block(&r, NAME_TOTAL_MAX, &len);

		found |= p && len == strlen(item) && !memcmp(p, item, len);
	}
	return found && rd_done(&r);
}

int board_check_export(struct sealed_store *ss, const struct stored_session *exporter,
	const struct stored_session *importer, const char *item, struct error *err)
{
	struct buf g, name;
	bool good = false;

	if (!board_covers(exporter->doc, BOARD_EXPORT))
		return 0;
	buf_init(&g, SEALED_CONTENT_MAX);
	buf_init(&name, 2048);
	if (!grant_name(exporter->doc->name, importer->doc->name, &name, err) &&
		!sealed_store_get(ss, TABLE_GRANT, (const char *)name.data, &g, NULL))
		good = grant_holds(&g, exporter, importer, item);
	buf_free(&g);
	buf_free(&name);
	return good ? 0
		    : error_set(err, ERR_ACCESS,
			      "the board of session \"%s\" has not agreed to export \"%s\" to session \"%s\" "
			      "as both are now: `scone "
			      "proposal ask export %s %s` asks it [E-BOARD]",
			      exporter->doc->name, item, importer->doc->name, exporter->doc->name,
			      importer->doc->name);
}

static bool is_agreed_read(
	const struct proposal *p, const struct stored_session *s, const uint8_t *caller, uint64_t now)
{
	return p->subject.action == BOARD_READ && p->state == PROPOSAL_PASSED && now < p->subject.expires &&
	       !memcmp(p->subject.current, s->hash, SESSION_HASH_LEN) &&
	       secret_equal(p->subject.bound, caller, KEY_HASH_LEN);
}

int board_take_read(const struct board_context *x, const struct stored_session *s, const uint8_t *caller,
	struct error *err)
{
	char **names = NULL;
	size_t n = 0;
	int rc = 1;

	if (!board_covers(s->doc, BOARD_READ))
		return 0;
	if (caller && proposal_names(x->store, s->doc->name, &names, &n, err))
		return -1;
	for (size_t i = 0; i < n && rc == 1; i++) {
		struct proposal p;

		if (board_load(x, names[i], &p, err)) {
			rc = -1;
			break;
		}
		if (is_agreed_read(&p, s, caller, x->now)) {
			end(x, &p, PROPOSAL_USED);
			rc = board_store(x, &p, "proposal-used", caller, NULL, err);
		}
		proposal_free(&p);
	}
	proposal_names_free(names, n);
	if (rc != 1)
		return rc;
	return error_set(err, ERR_ACCESS,
		"the board of session \"%s\" decides about each read, and has not agreed to one by this key "
		"that is not used or "
		"expired: `scone proposal ask read %s` asks it [E-BOARD]",
		s->doc->name, s->doc->name);
}

/* --- deletion --- */

static int forget_table(
	const struct board_context *x, const char *table, const char *session, struct error *err)
{
	size_t n = 0, len = strlen(session), kept = 0;
	struct sealed_change *changes;
	char **names = NULL;
	int rc = 0;

	if (sealed_store_names(x->store, table, &names, &n, err))
		return -1;
	changes = calloc(n + 1, sizeof(*changes));
	if (!changes)
		rc = no_memory(err);
	for (size_t i = 0; i < n && !rc; i++) {
		const char *at = strchr(names[i], '@');
		bool here = at && (size_t)(at - names[i]) == len && !strncmp(names[i], session, len);

		if (here || (at && !strcmp(table, TABLE_GRANT) && !strcmp(at + 1, session)))
			changes[kept++] = (struct sealed_change){.table = table, .name = names[i]};
	}
	if (!rc && kept)
		rc = sealed_store_apply(x->store, changes, kept, err);
	free(changes);
	proposal_names_free(names, n);
	return rc;
}

int board_forget(const struct board_context *x, const char *session, struct error *err)
{
	return forget_table(x, TABLE_PROPOSAL, session, err) || forget_table(x, TABLE_GRANT, session, err)
		       ? -1
		       : 0;
}
