//! What operators do with the store of a service.

use api::store::v1::{GetSeenJournalsRequest, GetSeenJournalsResponse, ReconcileStoreRequest, SeenJournal};
use prost::Message as _;
use prost_reflect::DynamicMessage;
use service::identity::Role;

use super::{
    answer::Answer,
    care, request,
    session::{Session, method},
    table::{Form::Text, Given, Verb, changes, reads, repeated},
};
use crate::failure::Failure;

const GET_STORE: &str = "countersign.store.v1.StoreService/GetStore";
const GET_SEEN: &str = "countersign.store.v1.StoreService/GetSeenJournals";
const RECONCILE: &str = "countersign.store.v1.StoreService/ReconcileStore";

pub(super) const STORE: &[Verb] = &[
    reads(
        "show",
        "Shows whose store it is, how far its journal has come, and whether it may be issued from.",
        "countersign store show --at intermediate-ca",
        &[GET_STORE],
        &[],
    ),
    reads(
        "seen",
        "Shows how far the journals of others had come, as this service last saw them.",
        "countersign store seen --at intermediate-ca",
        &[GET_SEEN],
        &[],
    )
    .rows("seen", &[("MANUFACTURER", "manufacturer"), ("JOURNAL POSITION", "journal_position")]),
    changes(
        "reconcile",
        "Ends the suspension of a store that was restored or put back, when everybody was heard who may have seen more of it than it has.",
        "countersign store reconcile --at intermediate-ca --seen technician-z=48211 --lost company-q",
        &[RECONCILE],
        &[
            repeated("seen", Text, "", "NAME=POSITION: what a manufacturer saw of this journal, as store seen says there"),
            repeated("lost", Text, "", "A manufacturer whose knowledge is given up; then nothing that is on record here signs again"),
        ],
    )
    .own(&[GET_SEEN], reconcile),
    changes(
        "accept-clock",
        "Says that the clock is right although the journal has later times; then issuing goes on.",
        "countersign store accept-clock --at intermediate-ca",
        &["countersign.store.v1.StoreService/AcceptClock"],
        &[],
    ),
];

/// `store reconcile`: what the own line saw is looked up, what others saw is said.
fn reconcile(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let mut seen = given.texts("seen").into_iter().map(read_seen).collect::<Result<Vec<_>, _>>()?;
    let lines = session.elsewhere(Role::Provisioner)?;
    for line in &lines {
        let answer: GetSeenJournalsResponse = session.ask_at(line, GET_SEEN, &GetSeenJournalsRequest {})?;
        seen.extend(answer.seen);
    }
    let lost = given.texts("lost").into_iter().map(str::to_owned).collect();
    let request = ReconcileStoreRequest { request_id: request::request_id(given)?, seen, lost };
    let message = DynamicMessage::decode(method(RECONCILE)?.input(), request.encode_to_vec().as_slice())
        .map_err(|e| Failure::named("INTERNAL", e.to_string()))?;
    if given.is_dry_run() {
        return care::dry_run(session, given, &method(RECONCILE)?, &message);
    }
    Ok(Answer::of(given.verb, session.change(&method(RECONCILE)?, &message)?))
}

fn read_seen(text: &str) -> Result<SeenJournal, Failure> {
    let parts = text.split_once('=').and_then(|(name, position)| Some((name, position.parse().ok()?)));
    let (name, journal_position) = parts.ok_or_else(|| Failure::usage(format!("--seen {text}: want NAME=POSITION")))?;
    Ok(SeenJournal { manufacturer: name.to_owned(), journal_position })
}
