/* Proposals are made and voted on. */
#include <stdlib.h>
#include <string.h>
#include "cas/board_item.h"
#include "cas/board_part.h"
#include "cas/permit.h"
#include "core/encode.h"
#include "core/log.h"
#include "crypto/hash.h"
#include "policy/signature.h"

/* --- asking --- */

static int no_memory(struct error *err)
{
	return error_set(err, ERR_NOMEM, "out of memory for a proposal");
}

static bool same_subject(const struct board_subject *a, const struct board_subject *b)
{
	return a->action == b->action && !memcmp(a->current, b->current, sizeof(a->current)) &&
	       !memcmp(a->bound, b->bound, sizeof(a->bound)) &&
	       !strcmp(a->importer ? a->importer : "", b->importer ? b->importer : "");
}

/* Not what is open already, not too many; and signatures of a signed upload decide once. */
static int check_new(const struct board_context *x, const struct proposal *p, struct error *err)
{
	char **names = NULL, id[PROPOSAL_ID_HEX + 1];
	size_t n = 0, open = 0;
	int rc = 0;

	if (proposal_names(x->store, p->subject.session, &names, &n, err))
		return -1;
	for (size_t i = 0; i < n && !rc; i++) {
		struct proposal other;

		rc = board_load(x, names[i], &other, err);
		if (rc)
			break;
		hex_encode(other.subject.id, BOARD_ID_LEN, id);
		open += other.state == PROPOSAL_OPEN;
		if (same_subject(&p->subject, &other.subject) && other.state == PROPOSAL_OPEN)
			rc = error_set(err, ERR_EXISTS, "this is proposed already, as %s [E-BOARD]", id);
		else if (same_subject(&p->subject, &other.subject) && p->signer_count)
			rc = error_set(err, ERR_CONFLICT,
				"this signed update was proposed before, as %s, which is %s; its signatures "
				"decide once: change "
				"`salt` and sign anew [E-BOARD]",
				id, proposal_state_name(other.state));
		proposal_free(&other);
	}
	proposal_names_free(names, n);
	if (!rc && open >= BOARD_OPEN_MAX)
		rc = error_set(err, ERR_LIMIT,
			"session \"%s\" has %zu open proposals, no more are taken: withdraw one [E-BOARD]",
			p->subject.session, open);
	return rc;
}

static int add_upload_votes(const struct board *b, struct proposal *p, uint64_t now, struct error *err)
{
	for (size_t i = 0; i < b->count; i++) {
		const struct board_member *m = &b->members[i];

		for (size_t k = 0; m->is_key && m->key_known && k < p->signer_count; k++) {
			struct proposal_vote *v;

			if (memcmp(m->key, p->signers[k], sizeof(m->key)))
				continue;
			v = proposal_add_vote(p, m->name);
			if (!v)
				return no_memory(err);
			v->choice = CHOICE_APPROVE;
			v->how = VOTE_UPLOAD;
			v->time = now;
			memcpy(v->key, m->key, sizeof(v->key));
		}
	}
	return 0;
}

/* With its number and expiry into the store. */
static int begin(
	const struct board_context *x, const struct stored_session *s, struct proposal *p, struct error *err)
{
	struct board b = {0};
	int rc = permit_board(x->store, x->audit, s, x->now, &b, err);

	if (!rc)
		rc = check_new(x, p, err);
	if (!rc)
		rc = random_bytes(p->subject.id, sizeof(p->subject.id), err);
	p->state = PROPOSAL_OPEN;
	p->created = x->now;
	p->subject.expires = x->now + b.expires;
	if (!rc)
		rc = add_upload_votes(&b, p, x->now, err);
	board_clear(&b);
	if (!rc)
		rc = board_store(x, p, "proposal-made", p->asker, board_action_name(p->subject.action), err);
	for (size_t i = 0; i < p->vote_count && !rc; i++) {
		char id[PROPOSAL_ID_HEX + 1];

		hex_encode(p->subject.id, BOARD_ID_LEN, id);
		rc = audit_write(x->audit,
			&(struct audit_note){.event = "vote-approve",
				.actor = p->votes[i].key,
				.session = p->subject.session,
				.detail = id},
			err);
	}
	return rc ? -1 : board_settle(x, p, err);
}

static int fill_update(const struct stored_session *current, const struct stored_session *next,
	const struct upload *u, struct proposal *p, struct error *err)
{
	p->subject.action = BOARD_UPDATE;
	memcpy(p->subject.current, current->hash, SESSION_HASH_LEN);
	memcpy(p->subject.bound, next->hash, SESSION_HASH_LEN);
	memcpy(p->asker, u->who.caller, sizeof(p->asker));
	memcpy(p->creator, next->creator, sizeof(p->creator));
	p->creator_signs = next->creator_signs;
	p->signer_count = u->who.signer_count;
	if (u->who.signer_count)
		memcpy(p->signers, u->who.signers, u->who.signer_count * sizeof(p->signers[0]));
	buf_put(&p->text, u->text, u->len);
	if (p->text.failed)
		return no_memory(err);
	return proposal_set_texts(p, current->doc->name, NULL, err);
}

int board_ask_update(const struct board_context *x, const struct stored_session *current,
	const struct stored_session *next, const struct upload *u, struct uploaded *ret, struct error *err)
{
	struct proposal p;
	char *name = strdup(current->doc->name);
	int rc;

	proposal_init(&p);
	rc = name ? fill_update(current, next, u, &p, err) : no_memory(err);
	if (!rc)
		rc = begin(x, current, &p, err);
	if (!rc) {
		ret->name = name;
		name = NULL;
		memcpy(ret->hash, next->hash, SESSION_HASH_LEN);
		ret->created = false;
		ret->proposed = p.state != PROPOSAL_PASSED;
		memcpy(ret->proposal, p.subject.id, BOARD_ID_LEN);
	}
	free(name);
	proposal_free(&p);
	return rc;
}

/* The importer's owner asks; what the exporter says about it is in its `export` rules. */
static int fill_export(const struct board_context *x, const struct stored_session *s, const char *importer,
	const struct requester *who, struct proposal *p, struct error *err)
{
	struct stored_session i;
	int rc;

	stored_session_init(&i);
	rc = sessions_load(x->store, importer, NULL, &i, err);
	if (!rc)
		rc = permit(x->store, x->audit, &i, OP_UPDATE, who, x->now, err);
	if (!rc)
		rc = board_items(s, &i, p, err);
	if (!rc)
		memcpy(p->subject.bound, i.hash, SESSION_HASH_LEN);
	stored_session_free(&i);
	return rc;
}

static int fill(const struct board_context *x, const struct stored_session *s, enum board_action action,
	const char *importer, const uint8_t caller[32], struct proposal *p, struct error *err)
{
	struct requester who = {.caller = caller};
	int rc;

	p->subject.action = action;
	memcpy(p->subject.current, s->hash, SESSION_HASH_LEN);
	memcpy(p->asker, caller, sizeof(p->asker));
	if (proposal_set_texts(p, s->doc->name, importer, err))
		return -1;
	if (action == BOARD_EXPORT)
		return fill_export(x, s, importer, &who, p, err);
	rc = permit(x->store, x->audit, s, action == BOARD_READ ? OP_READ : OP_UPDATE, &who, x->now, err);
	if (!rc && action == BOARD_READ)
		memcpy(p->subject.bound, caller, KEY_HASH_LEN);
	return rc;
}

int board_ask(const struct board_context *x, enum board_action action, const char *session,
	const char *importer, const uint8_t caller[32], struct proposal *ret, struct error *err)
{
	struct stored_session s;
	struct proposal p;
	int rc;

	stored_session_init(&s);
	proposal_init(&p);
	rc = sessions_load(x->store, session, NULL, &s, err);
	if (!rc)
		rc = fill(x, &s, action, importer, caller, &p, err);
	if (!rc && !board_covers(s.doc, action))
		rc = error_set(err, ERR_CONFLICT,
			"session \"%s\" has no board that decides about %s: just do it [E-BOARD]", session,
			board_action_name(action));
	if (!rc)
		rc = begin(x, &s, &p, err);
	stored_session_free(&s);
	if (rc)
		proposal_free(&p);
	else
		*ret = p;
	return rc;
}

/* --- voting --- */

struct ballot {
	const struct board_context *x;
	const char *id;
	enum board_choice choice;
	struct proposal p;
	struct stored_session s; /* the session, as it is now */
	struct board b; /* its board */
};

static int ballot_open(struct ballot *v, struct error *err)
{
	stored_session_init(&v->s);
	proposal_init(&v->p);
	if (board_get(v->x, v->id, &v->p, err))
		return -1;
	if (v->p.state != PROPOSAL_OPEN)
		return error_set(err, ERR_CONFLICT, "proposal %s is %s: it takes no votes any more [E-BOARD]",
			v->id, proposal_state_name(v->p.state));
	if (sessions_load(v->x->store, v->p.subject.session, NULL, &v->s, err))
		return -1;
	return permit_board(v->x->store, v->x->audit, &v->s, v->x->now, &v->b, err);
}

static void ballot_close(struct ballot *v)
{
	board_clear(&v->b);
	stored_session_free(&v->s);
	proposal_free(&v->p);
}

static int not_voted(const struct ballot *v, const struct board_member *m, struct error *err)
{
	enum board_choice votes[ACCESS_MEMBERS_MAX];
	enum board_choice has;

	board_votes_of(&v->b, &v->p, votes);
	has = votes[m - v->b.members];
	if (has == CHOICE_NONE)
		return 0;
	return error_set(err, ERR_CONFLICT,
		"member %s has voted on proposal %s: %s; a vote is not taken back [E-BOARD]", m->name, v->id,
		has == CHOICE_APPROVE ? "approve" : "reject");
}

/* A key whose template did not resolve when it voted may have left a vote of that name behind. */
static void drop_old_vote(struct proposal *p, const char *member)
{
	for (size_t i = 0; i < p->vote_count; i++) {
		if (strcmp(p->votes[i].member, member) != 0)
			continue;
		free(p->votes[i].member);
		free(p->votes[i].signer);
		free(p->votes[i].signature);
		p->votes[i--] = p->votes[--p->vote_count];
	}
}

static struct proposal_vote *add_vote(struct ballot *v, const struct board_member *m, enum vote_how how,
	const uint8_t key[32], struct error *err)
{
	struct proposal_vote *vote;

	drop_old_vote(&v->p, m->name);
	vote = proposal_add_vote(&v->p, m->name);
	if (!vote) {
		no_memory(err);
		return NULL;
	}
	vote->choice = v->choice;
	vote->how = how;
	vote->time = v->x->now;
	memcpy(vote->key, key, sizeof(vote->key));
	return vote;
}

/* The vote is in the store and the log before anything follows from it. */
static int count(
	struct ballot *v, const uint8_t *actor, const char *more, struct proposal *ret, struct error *err)
{
	if (board_store(v->x, &v->p, v->choice == CHOICE_APPROVE ? "vote-approve" : "vote-reject", actor,
		    more, err))
		return -1;
	if (board_settle(v->x, &v->p, err))
		return error_wrap(err, "the vote counts, but what was approved could not be done");
	*ret = v->p;
	proposal_init(&v->p);
	return 0;
}

static int verify(
	const struct ballot *v, const char *signer, const char *signature, uint8_t ret[32], struct error *err)
{
	struct error why = {0};
	struct buf bytes;
	int rc;

	buf_init(&bytes, 1024 * 1024);
	board_vote_bytes(&v->p.subject, v->choice == CHOICE_APPROVE, &bytes);
	rc = bytes.failed ? no_memory(&why)
			  : signature_verify(signer, signature, bytes.data, bytes.len, ret, &why);
	if (rc && why.code == ERR_CRYPTO)
		error_set(err, ERR_ACCESS,
			"the signature is not over this vote on proposal %s, as it is at CAS, by that key "
			"[E-BOARD]",
			v->id);
	else if (rc)
		*err = why;
	buf_free(&bytes);
	return rc;
}

static const struct board_member *member_of_key(const struct board *b, const uint8_t key[32])
{
	for (size_t i = 0; i < b->count; i++)
		if (b->members[i].is_key && b->members[i].key_known &&
			!memcmp(b->members[i].key, key, KEY_HASH_LEN))
			return &b->members[i];
	return NULL;
}

static int vote_signed(
	struct ballot *v, const char *signer, const char *signature, struct proposal *ret, struct error *err)
{
	const struct board_member *m;
	struct proposal_vote *vote;
	char text[KEY_HASH_TEXT_MAX];
	uint8_t key[32];

	if (ballot_open(v, err) || verify(v, signer, signature, key, err))
		return -1;
	m = member_of_key(&v->b, key);
	if (!m) {
		key_hash_text(key, text);
		return error_set(err, ERR_ACCESS,
			"key %s is no member of the board of session \"%s\" [E-BOARD]", text,
			v->p.subject.session);
	}
	if (not_voted(v, m, err))
		return -1;
	vote = add_vote(v, m, VOTE_SIGNED, key, err);
	if (!vote)
		return -1;
	free(vote->signer);
	free(vote->signature);
	vote->signer = strdup(signer);
	vote->signature = strdup(signature);
	if (!vote->signer || !vote->signature)
		return no_memory(err);
	return count(v, key, NULL, ret, err);
}

int board_vote_signed(const struct board_context *x, const char *id, enum board_choice choice,
	const char *signer, const char *signature, struct proposal *ret, struct error *err)
{
	struct ballot v = {.x = x, .id = id, .choice = choice};
	int rc = vote_signed(&v, signer, signature, ret, err);

	ballot_close(&v);
	return rc;
}

static const struct board_member *member_of_program(const struct board *b, const struct board_ticket *t)
{
	for (size_t i = 0; i < b->count; i++)
		if (!b->members[i].is_key && !strcmp(b->members[i].session, t->session) &&
			!strcmp(b->members[i].service, t->service))
			return &b->members[i];
	return NULL;
}

/* Attested as that service of what that session is now, and by what is good enough for the session it votes on. */
static int check_program(
	const struct ballot *v, const struct board_member *m, const struct board_ticket *t, struct error *err)
{
	enum board_strength wanted = board_strength_wanted(v->s.doc->mode);
	struct stored_session s;
	int rc;

	stored_session_init(&s);
	rc = sessions_load(v->x->store, t->session, NULL, &s, err);
	if (!rc && memcmp(s.hash, t->hash, SESSION_HASH_LEN))
		rc = error_set(err, ERR_ATTEST,
			"session \"%s\" has changed since %s/%s attested: it must attest anew [E-BOARD]",
			t->session, t->session, t->service);
	stored_session_free(&s);
	if (!rc && m->has_hash && memcmp(m->hash, t->hash, SESSION_HASH_LEN))
		rc = error_set(err, ERR_ATTEST,
			"member %s is %s/%s while its session has another hash than it has now [E-BOARD]",
			m->name, t->session, t->service);
	if (!rc && t->strength < wanted)
		rc = error_set(err, ERR_ATTEST,
			"member %s was attested by %s, a session of mode %s wants %s [E-BOARD]", m->name,
			board_strength_name(t->strength), attest_mode_name(v->s.doc->mode),
			board_strength_name(wanted));
	return rc;
}

static int vote_program(
	struct ballot *v, const struct board_ticket *t, struct proposal *ret, struct error *err)
{
	char measurement[2 * 32 + 1];
	const struct board_member *m;

	if (ballot_open(v, err))
		return -1;
	m = member_of_program(&v->b, t);
	if (!m)
		return error_set(err, ERR_ACCESS,
			"program %s/%s is no member of the board of session \"%s\" [E-BOARD]", t->session,
			t->service, v->p.subject.session);
	if (check_program(v, m, t, err) || not_voted(v, m, err))
		return -1;
	if (!add_vote(v, m, VOTE_PROGRAM, t->measurement, err))
		return -1;
	hex_encode(t->measurement, sizeof(t->measurement), measurement);
	return count(v, NULL, measurement, ret, err);
}

int board_vote_program(const struct board_context *x, const char *id, enum board_choice choice,
	const struct board_ticket *t, struct proposal *ret, struct error *err)
{
	struct ballot v = {.x = x, .id = id, .choice = choice};
	int rc = vote_program(&v, t, ret, err);

	ballot_close(&v);
	return rc;
}
