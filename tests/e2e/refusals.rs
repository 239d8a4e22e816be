//! Bad input, as one table: every verb out of order, twice, late, by the wrong role, by the right role of the wrong manufacturer, on
//! what is closed, spent, expired, cancelled or unknown; changed, replayed and truncated files.
//!
//! Each row is an RPC, a situation, and the reason that is answered. Before and after it everything that anybody can read is compared,
//! with the ends of all journals ([`picture`]): a refusal changes nothing, and leaves no record. Situations are made once, in [`scene`].
//! What a single field may hold is tested where that field is; here is what may be asked for when, and by whom.

mod brand;
mod custody;
mod hub;
mod line;
mod lots;
mod picture;
mod scene;
mod table;

use std::collections::BTreeSet;

use crate::{
    identity::access::identity,
    refusals::{picture::Picture, scene::Scene, table::Row},
};

/// Every RPC that may change something, without its package's prefix.
fn mutating() -> BTreeSet<String> {
    let reads = |method: &str| {
        ["Get", "List", "Watch"].iter().any(|verb| method.starts_with(verb))
            || ["CopyStore", "Preflight", "ValidateDevice"].contains(&method)
    };
    let names = api::rpc_names("").into_iter().filter(|name| !reads(name.rsplit('/').next().unwrap()));
    names.map(|name| name.strip_prefix("/countersign.").unwrap().to_owned()).collect()
}

fn rows(scene: &Scene) -> Vec<Row> {
    [brand::rows(scene), custody::rows(scene), lots::rows(scene), line::rows(scene), hub::rows(scene)].concat()
}

/// The first row of each RPC at each service once more, asked by an auditor: whoever may read everything changes nothing.
fn by_the_wrong_role(scene: &Scene, rows: &[Row]) -> Vec<Row> {
    let mut seen = BTreeSet::new();
    let firsts = rows.iter().filter(|row| seen.insert((row.rpc, row.at.identity())));
    let by_auditor = |row: &Row| {
        let (organisation, file) = identity(scene.chain, row.at.identity().0, "auditor");
        let channel = scene.chain.channel_with(organisation, &file, row.at);
        row.clone().by(channel, "by an auditor")
    };
    firsts.map(by_auditor).collect()
}

#[tokio::test]
async fn bad_input_is_refused_by_name_and_changes_nothing() {
    let scene = Scene::set().await;
    let mut rows = rows(&scene);
    rows.extend(by_the_wrong_role(&scene, &rows));
    let covered: BTreeSet<_> = rows.iter().map(|row| row.rpc.to_owned()).collect();
    assert_eq!(covered, mutating(), "every RPC that may change something has its rows");

    let mut wrong = Vec::new();
    let mut before = Picture::settled(&scene).await;
    for row in &rows {
        let told = row.told(&row.ask().await);
        if told != row.expected() {
            wrong.push(format!("{row}: {told}"));
        }
        let after = Picture::of(&scene).await;
        let changes = before.changes(&after, row.recorded_at);
        if !changes.is_empty() {
            wrong.push(format!("{row}: changed {changes:?}"));
        }
        before = after;
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    println!("{} rows about {} RPCs", rows.len(), covered.len());
}
